//! When answers become better or worse: what people are told of it.

mod common;

use common::{PATIENCE, explained, goal, models, open_at, put, say};
use kalibr_engine::core::moved::What;
use kalibr_engine::core::path::PathSpec;
use kalibr_engine::{ChangeInfo, Clock, DecideRequest, Engine, Run};

/// Both paths alike are asked, and these shares of their answers are accepted, in tenths.
fn ask(engine: &Engine, times: usize, accepted: [usize; 2]) -> kalibr_engine::core::ids::TraceId {
    let mut last = None;
    for i in 0..times {
        let model = ["sim/good", "sim/poor"][i % 2];
        let request = DecideRequest { force_model: Some(model.into()), ..DecideRequest::of(goal()) };
        let trace = engine.decide(&request).unwrap().trace;
        let good = i / 2 * 7 % 10 < accepted[i % 2];
        say(engine, Run::Trace(trace), if good { "user_accepted" } else { "user_rejected" });
        last = Some(trace);
    }
    assert!(engine.flush(PATIENCE));
    last.unwrap()
}

fn changes(engine: &Engine) -> Vec<ChangeInfo> {
    engine.goal(&goal()).unwrap().learned.remove(0).changes
}

#[test]
fn a_fall_of_all_paths_is_told_as_one_and_a_fall_of_one_path_as_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open_at(folder.path(), Clock::system());
    put(&engine, &models(&["sim/good", "sim/poor"]));
    ask(&engine, 600, [9, 7]);
    assert_eq!(changes(&engine), []);

    let trace = ask(&engine, 200, [7, 4]);
    let told = changes(&engine);
    let [level] = &told[..] else { panic!("{told:?}") };
    assert_eq!(level.moved.what, What::Level);
    assert!(level.moved.calls_since.abs_diff(200) <= 75, "{level:?}");
    assert!(level.sentence.starts_with("All paths fell together from .80 to .5"), "{}", level.sentence);
    assert_eq!(explained(&engine, trace).changes, told);
    let json = serde_json::to_value(level).unwrap();
    assert_eq!(json["kind"], "level");
    assert!(json["since_epoch"].is_u64() && json["before"].is_f64() && json["after"].is_f64(), "{json}");

    ask(&engine, 200, [1, 4]);
    let told = changes(&engine);
    let path_id = PathSpec::model("sim/good").unwrap().id();
    let own = told.iter().find(|change| change.moved.what == What::Path { path_id }).unwrap();
    assert!(own.sentence.starts_with("sim/good fell from .70 to .1"), "{}", own.sentence);
    assert_eq!(told.iter().filter(|change| change.moved.what == What::Level).count(), 1, "{told:?}");

    // What a process that starts now finds in the ledger.
    assert!(engine.close(PATIENCE));
    let engine = open_at(folder.path(), Clock::system());
    assert_eq!(changes(&engine), told);
    assert!(engine.close(PATIENCE));
}
