//! Keys and tokens that show by their form whose they are; blocks with private keys.
//!
//! Forms as their issuers publish them for secret scanners. A length is a lower bound: issuers lengthen their keys.

use std::ops::Range;

use super::detector::{Detector, How, whole};
use super::entity::Entity;

/// Prefixes that nothing but a key has. What goes before is not looked at: a key glued to something is a key.
const PREFIXED: &str = concat!(
    // OpenAI, Anthropic, OpenRouter, DeepSeek and the like; Kalibr's own.
    r"sk-(?:proj-|svcacct-|admin-|ant-[a-z0-9]{2,8}-|or-v1-|lf-)?[A-Za-z0-9_-]{20,250}",
    r"|pk-lf-[a-f0-9-]{30,40}|kb_[A-Za-z0-9_]{16,250}",
    // Groq, xAI, Perplexity, Replicate, Hugging Face, Cerebras, NVIDIA, Fireworks, Together, Voyage, Tavily, LangSmith.
    r"|gsk_[A-Za-z0-9]{20,100}|xai-[A-Za-z0-9]{20,150}|pplx-[A-Za-z0-9]{20,100}|r8_[A-Za-z0-9]{30,60}",
    r"|hf_[A-Za-z0-9]{20,60}|api_org_[A-Za-z0-9]{20,60}|csk-[a-z0-9]{30,80}|nvapi-[A-Za-z0-9_-]{40,100}",
    r"|fw_[A-Za-z0-9]{20,40}|tgp_v1_[A-Za-z0-9_-]{30,60}|tvly-[A-Za-z0-9-]{20,60}|lsv2_[a-z]{2}_[a-f0-9_]{30,60}",
    // AWS, Google, Azure, DigitalOcean, Cloudflare, Alibaba, Tencent.
    r"|(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ANVA|ABIA|ACCA)[A-Z2-7]{16}",
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,250}|GOCSPX-[A-Za-z0-9_-]{20,40}|1//0[A-Za-z0-9_-]{40,120}",
    r"|AccountKey=[A-Za-z0-9+/]{40,100}={0,2}|[A-Za-z0-9_~.]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}",
    r"|do[opr]_v1_[a-f0-9]{64}|LTAI[A-Za-z0-9]{12,30}|AKID[A-Za-z0-9]{13,40}",
    // GitHub, GitLab, Bitbucket, Atlassian.
    r"|gh[pousr]_[A-Za-z0-9]{36,250}|github_pat_[A-Za-z0-9_]{22,250}",
    r"|gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_.=-]{20,100}|ATATT3[A-Za-z0-9_=-]{50,250}|ATBB[A-Za-z0-9]{30,40}",
    // Slack, Discord (mfa), Telegram, Twilio, SendGrid, Mailgun, Mailchimp.
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-[0-9]-[A-Za-z0-9-]{20,150}",
    r"|hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,100}",
    r"|discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,80}|mfa\.[A-Za-z0-9_-]{60,100}",
    r"|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,60}",
    // Stripe, Square, Shopify, PayPal (Braintree), Razorpay.
    r"|(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9+/=]{24,80}|sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,60}",
    r"|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}|rzp_(?:live|test)_[A-Za-z0-9]{14}",
    // npm, PyPI, RubyGems, crates.io, NuGet, Docker, Packagist.
    r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,250}|rubygems_[a-f0-9]{48}|cio[A-Za-z0-9]{32}|oy2[a-z0-9]{43}|dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,60}",
    // HashiCorp, Terraform, Pulumi, Doppler, Linear, Notion, Figma, Airtable, Postman, Grafana, New Relic, Sentry, Supabase.
    r"|hv[sbr]\.[A-Za-z0-9_-]{24,250}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,80}|pul-[a-f0-9]{40}|dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._]{40,60}",
    r"|lin_(?:api|oauth)_[A-Za-z0-9]{30,80}|ntn_[A-Za-z0-9]{40,60}|secret_[A-Za-z0-9]{43}|figd_[A-Za-z0-9_-]{40,60}|pat[A-Za-z0-9]{14}\.[a-f0-9]{64}",
    r"|PMAK-[a-f0-9]{24}-[a-f0-9]{34}|gl(?:c|sa)_[A-Za-z0-9+/=_]{32,250}|NR(?:AK|JS|II|RA)-[A-Za-z0-9_-]{19,42}|sntr[yu]s_[A-Za-z0-9+/=_-]{40,250}",
    r"|sb[pv]_[a-f0-9]{40}|sb_(?:secret|publishable)_[A-Za-z0-9_-]{20,60}|vercel_[A-Za-z0-9]{24}|EAACEdEose0cBA[A-Za-z0-9]{20,200}|EAA[A-Za-z0-9]{80,250}",
);

/// Forms without a prefix of their own, so their edges count.
const SHAPED: &str = concat!(
    // Telegram bots, Discord bots, Twilio (account and key), Mailgun, Mailchimp, Zendesk-like `key-`.
    r"\b(?:[0-9]{8,10}:AA[A-Za-z0-9_-]{33}|[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}",
    r"|(?:AC|SK)[a-f0-9]{32}|key-[a-f0-9]{32}|[a-f0-9]{32}-us[0-9]{1,2})\b",
);

pub(super) const DETECTORS: &[Detector] = &[
    Detector { entity: Entity::PrivateKey, needs: b"-B", how: How::Scan(private_keys) },
    // Three parts in base64url, the first two of them JSON objects; the last may be empty.
    Detector {
        entity: Entity::Jwt,
        needs: b".J",
        how: How::Pattern(r"\beyJ[A-Za-z0-9_-]{6,}\.(?:eyJ)?[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*", whole),
    },
    Detector { entity: Entity::ApiKey, needs: b"", how: How::Pattern(PREFIXED, key) },
    Detector { entity: Entity::ApiKey, needs: b"0", how: How::Pattern(SHAPED, whole) },
];

/// Keys have digits and letters; names of things that begin alike (`sk-learn-compatible-estimators`, `kb_`) do not.
fn key(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let it = &text[range.clone()];
    let body = &it[it.find(['-', '_', '.', '=', '/']).map_or(0, |at| at + 1)..];
    let digits = body.bytes().filter(u8::is_ascii_digit).count();
    let letters = body.bytes().filter(u8::is_ascii_alphabetic).count();
    let upper = it.bytes().any(|byte| byte.is_ascii_uppercase());
    let words = body.split(['-', '_']).count() > 3 && !upper && digits < 4;
    let placeholder =
        body.bytes().filter(|byte| matches!(byte, b'x' | b'X' | b'*' | b'.')).count() * 2 > body.len();
    // A word before `sk-` ("task-...", "disk-...", "risk-...") is the rest of it.
    let glued =
        it.starts_with("sk-") && range.start > 0 && text.as_bytes()[range.start - 1].is_ascii_alphanumeric();
    ((digits > 0 || it.len() > 40 && upper) && letters > 0 && !words && !placeholder && !glued)
        .then_some(range)
}

/// From `-----BEGIN ... PRIVATE KEY-----` to its end; without an end, all lines that may belong to it.
fn private_keys(text: &str, out: &mut Vec<Range<usize>>) {
    const BEGIN: &str = "-----BEGIN ";
    let mut at = 0;
    while let Some(found) = text[at..].find(BEGIN) {
        let start = at + found;
        let label_at = start + BEGIN.len();
        let label_end =
            text[label_at..].find("-----").filter(|length| *length <= 40).map(|length| label_at + length);
        let Some(label_end) = label_end.filter(|end| text[label_at..*end].contains("PRIVATE KEY")) else {
            at = label_at;
            continue;
        };
        let mut end = label_end + 5;
        // Base64, headers, line ends written as such: what may stand in a block. Prose stops it.
        for line in text[end..].split_inclusive('\n') {
            if let Some(stop) = line.find("-----END ") {
                let rest = stop + 9;
                end += line[rest..].find("-----").map_or(line.trim_end().len(), |close| rest + close + 5);
                break;
            }
            if !block_line(line.trim()) {
                break;
            }
            end += line.len();
        }
        out.push(start..end - (text[start..end].len() - text[start..end].trim_end().len()));
        at = end;
    }
}

fn block_line(line: &str) -> bool {
    let header = ["Proc-Type:", "DEK-Info:", "Version:", "Comment:", "Hash:", "Charset:"];
    let base64 = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'+' | b'/' | b'=' | b'\\' | b'"' | b',' | b'\'' | b'>' | b'#' | b' ')
    };
    header.iter().any(|name| line.starts_with(name))
        || line.bytes().all(base64)
            && (!line.contains(' ') || line.split(' ').all(|word| word.len() > 20 || word.len() < 2))
}

#[cfg(test)]
mod tests {
    use super::super::redact;
    use super::super::tests::{all_of, none_of};
    use super::*;

    /// Random characters of a length, of letters and digits: no key is written out in this file.
    fn body(length: usize) -> String {
        (0..length).map(|at| char::from(b"aB3dE5gH7jK9mN2pQ4rS6tU8vW"[(at * 7 + length) % 26])).collect()
    }

    #[test]
    fn keys_by_their_prefix() {
        let keys = [
            format!("sk-{}", body(48)),
            format!("sk-proj-{}", body(120)),
            format!("sk-ant-api03-{}AA", body(93)),
            format!("kb_{}", body(32)),
            format!("AKIA{}", "ABCDEFGH234567QR"),
            format!("AIza{}", body(35)),
            format!("ghp_{}", body(36)),
            format!("glpat-{}", body(20)),
            format!("xoxb-{}-{}", "123456789012", body(24)),
            format!("{}_live_{}", "sk", body(24)),
            format!("hf_{}", body(34)),
            format!("npm_{}", body(36)),
            format!("pypi-AgEIcHlwaS5vcmc{}", body(60)),
            format!("SG.{}.{}", body(22), body(43)),
            format!("{}:AA{}", "123456789", body(33)),
        ];
        all_of(Entity::ApiKey, &keys.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn what_only_begins_like_a_key_is_none() {
        none_of(&[
            "sk-learn-compatible-estimators-in-use",
            "kb_articles_by_category",
            "task-runner-with-many-words-in-2024",
            "hf_transfer",
            "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ]);
    }

    #[test]
    fn web_tokens() {
        let token = format!("eyJ{}.eyJ{}.{}", body(17), body(40), body(43));
        all_of(Entity::Jwt, &[&token]);
    }

    #[test]
    fn blocks_with_private_keys_go_as_a_whole() {
        let line = body(64);
        for label in [
            "RSA PRIVATE KEY",
            "PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "EC PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ] {
            let text = format!("a\n-----BEGIN {label}-----\n{line}\n{line}\nabc=\n-----END {label}-----\nb");
            assert_eq!(redact(&text).text, "a\n[PRIVATE_KEY]\nb");
            let escaped = format!("\"-----BEGIN {label}-----\\n{line}\\n-----END {label}-----\\n\"");
            assert_eq!(redact(&escaped).text, "\"[PRIVATE_KEY]\\n\"");
            let cut = format!("-----BEGIN {label}-----\n{line}\n{line}\nand this is all that I have");
            assert_eq!(redact(&cut).text, "[PRIVATE_KEY]\nand this is all that I have");
        }
        let public = format!("-----BEGIN PUBLIC KEY-----\n{line}\n-----END PUBLIC KEY-----");
        assert_eq!(redact(&public).text, public);
    }
}
