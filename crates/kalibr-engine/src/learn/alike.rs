//! What many goals have alike is held once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use kalibr_core::ids::PathId;
use kalibr_core::path::PathSpec;
use kalibr_store::GoalRecord;

use crate::goal::GoalSettings;

/// Paths that several goals have are held once, with the identity of the model alone.
#[derive(Debug, Default)]
pub(super) struct Specs {
    known: HashMap<PathId, (Arc<PathSpec>, PathId)>,
    /// With how many to look next for those that no goal has any more.
    full: usize,
}

impl Specs {
    pub(super) fn share(&mut self, record: &mut GoalRecord) {
        for path in &mut record.paths {
            let (known, _) = self.known.entry(path.id).or_insert_with(|| {
                let model = PathSpec::model(&path.spec.model).map_or(path.id, |model| model.id());
                (Arc::clone(&path.spec), model)
            });
            // Paths of one identity may still be spelled differently, and are sent to their provider as spelled.
            if *known == path.spec {
                path.spec = Arc::clone(known);
            }
        }
        if self.known.len() > self.full {
            self.known.retain(|_, (spec, _)| Arc::strong_count(spec) > 1);
            self.full = 1_000 + 2 * self.known.len();
        }
    }

    /// The identity of the path's model alone; of a path that no goal has, its own.
    pub(super) fn model(&self, path: PathId) -> PathId {
        self.known.get(&path).map_or(path, |(_, model)| *model)
    }
}

/// Settings that are looked for among those of other goals: most goals have the defaults, or what one program writes.
const REMEMBERED: usize = 8;

/// The settings of the goals that were read last.
#[derive(Debug, Default)]
pub(super) struct Settings(VecDeque<Arc<GoalSettings>>);

impl Settings {
    /// Reads settings. What a newer version wrote there and this one cannot read must not stop the goal from routing.
    pub(super) fn read(&mut self, text: &str) -> Arc<GoalSettings> {
        let settings: GoalSettings = serde_json::from_str(text).unwrap_or_default();
        let at = self.0.iter().position(|known| **known == settings);
        let known = at.and_then(|at| self.0.remove(at)).unwrap_or_else(|| Arc::new(settings));
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(Arc::clone(&known));
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_with_the_same_settings_hold_them_once_however_they_are_written() {
        let mut settings = Settings::default();
        let first = settings.read(r#"{"floor": 0.01, "half_life": 800.0}"#);
        let other = settings.read("{}");
        let again = settings.read(r#"{"half_life":800.0,"floor":0.01}"#);
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
        for floor in 1..20 {
            settings.read(&format!(r#"{{"floor": 0.{floor:02}1}}"#));
        }
        assert_eq!(settings.0.len(), REMEMBERED);
        assert_eq!(*settings.read("no JSON"), GoalSettings::default());
    }
}
