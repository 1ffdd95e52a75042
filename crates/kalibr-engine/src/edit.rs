//! Edits: how much of an answer its user changed, and what that says of it.

use kalibr_core::evidence::{OutOfRange, Strength, Value};
use kalibr_signals::edit::Diff;
use kalibr_signals::fingerprint::Fingerprint;
use kalibr_signals::vocabulary::{self, SignalType};
use kalibr_store::Fact;

use crate::engine::Engine;
use crate::error::SignalError;
use crate::report::{PrivateText, Run, SignalMeta};

/// How much of an answer was changed, in one of the ways in which a caller may know.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// As a part, from 0 to 1: 1 less the similarity of [`kalibr_signals::edit`].
    Ratio(f64),
    /// As a unified diff; its text is gone.
    Diff(Diff),
    /// As the whole edited answer, to be compared with the fingerprint of the one that was given.
    Output(PrivateText),
}

impl Edit {
    /// The edit that a caller tells of, if they tell of one.
    ///
    /// # Errors
    /// [`SignalError::Edits`] when it is told in more than one way, [`SignalError::Number`] for a ratio outside 0..=1,
    /// [`SignalError::Diff`] for what is no unified diff.
    pub fn of(
        ratio: Option<f64>,
        diff: Option<&str>,
        output: Option<&str>,
    ) -> Result<Option<Self>, SignalError> {
        if usize::from(ratio.is_some()) + usize::from(diff.is_some()) + usize::from(output.is_some()) > 1 {
            return Err(SignalError::Edits);
        }
        if let Some(ratio) = ratio {
            Strength::new(ratio)?;
            return Ok(Some(Self::Ratio(ratio)));
        }
        let diff = diff.map(Diff::read).transpose()?.map(Self::Diff);
        Ok(diff.or_else(|| output.map(|text| Self::Output(text.into()))))
    }

    /// Sees that a signal that carries an edit is one: elsewhere it would count nothing, unnoticed.
    ///
    /// # Errors
    /// [`SignalError::NoEdit`] for any other signal.
    pub fn belongs(kind: &SignalType) -> Result<(), SignalError> {
        if kind.value == Value::OutputEdited { Ok(()) } else { Err(SignalError::NoEdit) }
    }

    /// Whether grading it may have to wait for the ledger.
    pub const fn waits(&self) -> bool {
        !matches!(self, Self::Ratio(_))
    }
}

impl Engine {
    /// What the user did with the answer, graded by how much they changed where they edited it:
    /// [`vocabulary::edit_strength`].
    ///
    /// A diff leaves out what did not change: how much that is, the answer's fingerprint tells where there is one.
    /// An edited answer is compared with that fingerprint, on a thread of its own, and is gone after that.
    ///
    /// # Errors
    /// [`SignalError`] for an unknown action or a ratio outside 0..=1; [`SignalError::NoEdit`] for an action that is no
    /// edit; [`SignalError::NoAnswer`] for an edited answer
    /// whose original has no fingerprint; [`SignalError::Store`] when the ledger cannot be read.
    pub async fn edited(
        &self,
        run: Run,
        action: &str,
        edit: Edit,
        meta: SignalMeta,
    ) -> Result<Fact, SignalError> {
        let kind = vocabulary::action(action)?;
        Edit::belongs(kind)?;
        let strength = self.edit_strength(run, edit, &meta).await?;
        Ok(self.fact(run, kind.source, kind.value, strength, Strength::ONE, meta))
    }

    /// How well an answer served that was edited like this.
    ///
    /// # Errors
    /// As [`Engine::edited`].
    pub async fn edit_strength(
        &self,
        run: Run,
        edit: Edit,
        meta: &SignalMeta,
    ) -> Result<Strength, SignalError> {
        let at = self.event_time(meta.at);
        let similarity = match edit {
            Edit::Ratio(ratio) => return Ok(vocabulary::edit_strength(ratio)?),
            Edit::Diff(diff) => {
                // Without the answer's length the diff still says a lot: no reason to lose the signal.
                let prints = self.prints(run, at).await.ok().flatten();
                let tokens = prints.and_then(|prints| prints.answer).map(|answer| answer.tokens());
                diff.similarity(tokens)
            }
            Edit::Output(text) => self
                .with_prints(run, at, move |prints| {
                    Ok(prints?.and_then(|prints| {
                        let edited = Fingerprint::of(&prints.key, &text.0);
                        prints.answer.map(|answer| answer.edit_similarity(&edited))
                    }))
                })
                .await?
                .ok_or(SignalError::NoAnswer)?,
        };
        let ratio = (1.0 - similarity).clamp(0.0, 1.0);
        vocabulary::edit_strength(ratio).map_err(|OutOfRange| SignalError::Number(OutOfRange))
    }
}
