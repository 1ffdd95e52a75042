//! What the system says of this process.

use anyhow::Context as _;

/// Bytes of memory in use now.
pub(crate) fn resident() -> anyhow::Result<f64> {
    status("VmRSS:")
}

/// The most that was in use at any time, in bytes.
pub(crate) fn peak() -> anyhow::Result<f64> {
    status("VmHWM:")
}

fn status(field: &str) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status")
        .context("memory is measured by /proc/self/status: run this on Linux")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

/// In MiB.
pub(crate) fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}
