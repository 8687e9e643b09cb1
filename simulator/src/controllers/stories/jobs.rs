//! Jobs.

use super::world::{World, template};
use crate::controllers::objects::{condition, condition_status, text};
use crate::schema::builtin::{JOBS, PODS};
use serde_json::{Value, json};

fn job(image: &str, change: &Value) -> Value {
    let mut template = template("job");
    template["spec"]["restartPolicy"] = json!("Never");
    template["spec"]["containers"][0]["image"] = json!(image);
    let mut spec = json!({"template": template});
    json_patch::merge(&mut spec, change);
    spec
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_until_enough_have_succeeded_and_goes_after_its_time() {
    let world = World::new(&["n1"]);
    let change = json!({"completions": 5, "parallelism": 2, "ttlSecondsAfterFinished": 60});
    world.make(&JOBS, "sum", job("example/job:1", &change));
    let done = |world: &World| {
        let job = world.get(&JOBS, "sum").expect("it stays for a minute");
        assert!(job["status"]["active"].as_i64().unwrap_or(0) <= 2);
        condition_status(&job, "Complete") == "True"
    };
    world.until("its end", done).await;
    assert_eq!(world.status(&JOBS, "sum")["succeeded"], 5);
    world.rest(55).await;
    assert!(world.get(&JOBS, "sum").is_some());
    world.rest(10).await;
    assert!(world.get(&JOBS, "sum").is_none());
    assert!(world.direct.list(&PODS, Some("default")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_too_often_fails() {
    let world = World::new(&["n1"]);
    world.make(&JOBS, "sum", job("example/fails:1", &json!({"backoffLimit": 2})));
    world.rest(25).await;
    assert_eq!(condition_status(&world.get(&JOBS, "sum").unwrap(), "Failed"), "");
    world
        .until("its end", |world| condition_status(&world.get(&JOBS, "sum").unwrap(), "Failed") == "True")
        .await;
    let job = world.get(&JOBS, "sum").unwrap();
    assert_eq!(condition(&job, "Failed").map(|one| text(one, "/reason")), Some("BackoffLimitExceeded"));
    assert_eq!(job["status"]["failed"], 3);
}
