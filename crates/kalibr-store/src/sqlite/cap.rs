//! Which decisions of a user count: see [`kalibr_core::safety::UserCap`].
//!
//! Whether one counts is not written down: it follows from the times of its user's decisions, and from the cap that the
//! goal has now. So nothing has to be kept right, a late decision counts as if it had come in time, and a cap that is set
//! after somebody flooded a goal takes the flood out. A cap fixed with each decision would leave it in, and a ledger of
//! the same facts would count otherwise for having been told of the cap at another moment.

use std::collections::{BTreeMap, BTreeSet};

use kalibr_core::ids::{Timestamp, TraceId};
use kalibr_core::safety::{UserCap, counted};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Deserialize;

use super::{Problem, codec};
use crate::facts::DecisionFact;

/// The caps of the goals that were asked for.
#[derive(Default)]
pub(super) struct Caps(BTreeMap<i64, UserCap>);

impl Caps {
    pub(super) fn of(&mut self, connection: &Connection, goal: i64) -> Result<UserCap, Problem> {
        if let Some(cap) = self.0.get(&goal) {
            return Ok(*cap);
        }
        let settings: Option<String> = connection
            .prepare_cached("SELECT settings FROM goals WHERE id = ?1")?
            .query_row([goal], |row| row.get(0))
            .optional()?;
        let cap = settings.as_deref().map_or_else(UserCap::default, in_settings);
        self.0.insert(goal, cap);
        Ok(cap)
    }
}

/// The cap that these settings set. What cannot be read is the default: a decision must count or not in any case.
pub(super) fn in_settings(settings: &str) -> UserCap {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Settings {
        user_cap: UserCap,
    }
    serde_json::from_str(settings).unwrap_or_else(|_| Settings::default()).user_cap
}

/// Where a decision stands among those of its user in its scope. A decision without a user stands nowhere, and one that
/// was made while its goal was frozen takes nobody's place.
pub(super) struct Place {
    pub(super) goal: i64,
    pipeline: String,
    bucket: String,
    user: [u8; 16],
    at: i64,
}

impl Place {
    /// Of a decision that is to be written.
    pub(super) fn of(decision: &DecisionFact) -> Option<Self> {
        let user = decision.user.filter(|_| !decision.marks.frozen)?;
        Some(Self {
            goal: decision.goal.0,
            pipeline: codec::pipeline_text(decision.pipeline.as_ref()).to_owned(),
            bucket: decision.bucket.as_str().to_owned(),
            user: *user.as_bytes(),
            at: decision.at.0,
        })
    }

    /// Of a decision whose columns start at 0: goal, pipeline, bucket, user, `decided_at`, frozen.
    pub(super) fn read(row: &Row<'_>) -> Result<Option<Self>, rusqlite::Error> {
        let (user, frozen): (Option<[u8; 16]>, bool) = (row.get(3)?, row.get(5)?);
        let Some(user) = user.filter(|_| !frozen) else { return Ok(None) };
        Ok(Some(Self {
            goal: row.get(0)?,
            pipeline: row.get(1)?,
            bucket: row.get(2)?,
            user,
            at: row.get(4)?,
        }))
    }

    /// Whether the decision that stands here counts.
    pub(super) fn counts(
        &self,
        connection: &Connection,
        trace: TraceId,
        cap: UserCap,
    ) -> Result<bool, Problem> {
        let last = self.edge(connection, cap)?.into_iter().next();
        Ok(last.is_none_or(|last| (self.at, trace) <= last))
    }

    /// The last decision of this window that counts and the first that does not, as far as it has so many. One decision
    /// more or less in the window changes nothing of any other.
    pub(super) fn edge(&self, connection: &Connection, cap: UserCap) -> Result<Vec<(i64, TraceId)>, Problem> {
        if !cap.is_on() {
            return Ok(Vec::new());
        }
        let (from, to) = cap.stretch(Timestamp(self.at));
        let rows = connection
            .prepare_cached(
                "SELECT decided_at, trace FROM decisions
                 WHERE goal = ?1 AND pipeline = ?2 AND bucket = ?3 AND user = ?4 AND frozen = 0
                 AND decided_at >= ?5 AND decided_at < ?6 ORDER BY decided_at, trace LIMIT 2 OFFSET ?7",
            )?
            .query_map(
                params![self.goal, self.pipeline, self.bucket, self.user, from.0, to.0, cap.decisions - 1],
                |row| Ok((row.get(0)?, codec::trace(row.get(1)?))),
            )?
            .collect::<Result<_, _>>()?;
        Ok(rows)
    }
}

/// All decisions, of one goal or of all, that are beyond their users' caps.
pub(super) fn beyond(
    connection: &Connection,
    goal: Option<i64>,
    mut cap_of: impl FnMut(i64) -> Result<UserCap, Problem>,
    mut take: impl FnMut(TraceId) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut statement = connection.prepare(
        "SELECT goal, pipeline, bucket, user, decided_at, frozen, trace FROM decisions
         WHERE user IS NOT NULL AND frozen = 0 AND goal BETWEEN ?1 AND ?2
         ORDER BY goal, pipeline, bucket, user, decided_at, trace",
    )?;
    let mut rows = statement.query([goal.unwrap_or(i64::MIN), goal.unwrap_or(i64::MAX)])?;
    let mut crowd: Option<(Place, UserCap)> = None;
    let mut decisions: Vec<(Timestamp, TraceId)> = Vec::new();
    let mut done = |cap: UserCap, decisions: &mut Vec<(Timestamp, TraceId)>| {
        // Not by counting rows: what the index is asked for when a decision comes in is checked against this.
        let counted = counted(decisions, cap);
        let beyond = decisions.drain(..).zip(counted).filter(|(_, counts)| !counts);
        beyond.map(|((_, trace), _)| trace).try_for_each(&mut take)
    };
    while let Some(row) = rows.next()? {
        let Some(place) = Place::read(row)? else { continue };
        let same = |(other, cap): &(Place, UserCap)| {
            (other.goal, &other.pipeline, &other.bucket, other.user)
                == (place.goal, &place.pipeline, &place.bucket, place.user)
                && cap.window(Timestamp(other.at)) == cap.window(Timestamp(place.at))
        };
        if !crowd.as_ref().is_some_and(same) {
            if let Some((_, cap)) = &crowd {
                done(*cap, &mut decisions)?;
            }
            let cap = cap_of(place.goal)?;
            crowd = Some((place, cap));
        }
        if let Some((place, _)) = &mut crowd {
            place.at = row.get(4)?;
            decisions.push((Timestamp(place.at), codec::trace(row.get(6)?)));
        }
    }
    crowd.map_or(Ok(()), |(_, cap)| done(cap, &mut decisions))
}

/// The decisions of a goal that count by one of these caps and not by the other.
pub(super) fn changed(
    connection: &Connection,
    goal: i64,
    caps: [UserCap; 2],
) -> Result<Vec<TraceId>, Problem> {
    let mut sets = [BTreeSet::new(), BTreeSet::new()];
    for (cap, set) in caps.into_iter().zip(&mut sets) {
        beyond(
            connection,
            Some(goal),
            |_| Ok(cap),
            |trace| {
                set.insert(trace);
                Ok(())
            },
        )?;
    }
    Ok(sets[0].symmetric_difference(&sets[1]).copied().collect())
}
