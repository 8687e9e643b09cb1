//! Strategy, kind of install and number of control planes in every combination: `cargo xtask test lab --full`, more
//! than an hour's work. Each is a test of its own, so that one that fails leaves the figures of the others.

use crate::migrations::{Way, migrated, shape};
use crate::rights::Share;
use replank_lab::cluster::Install;
use replank_planning::intent::Strategy;

async fn combined(strategy: Strategy, install: Install, control_planes: usize, way: Way) {
    let strategy_name = match strategy {
        Strategy::Rolling => "rolling",
        Strategy::Cutover => "cutover",
    };
    let install_name = match install {
        Install::Manifest => "manifest",
        Install::Operator => "operator",
    };
    let test = format!("{strategy_name}-{install_name}-{control_planes}");
    migrated(&test, shape(control_planes, 4, install), strategy, way).await;
}

macro_rules! combinations {
    ($($name:ident: $strategy:ident, $install:ident, $control_planes:literal, $way:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
        #[ignore = "run by `cargo xtask test lab --full`"]
        async fn $name() {
            combined(Strategy::$strategy, Install::$install, $control_planes, $way).await;
        }
    )*};
}

combinations! {
    rolling_manifest_1: Rolling, Manifest, 1, Way::default();
    rolling_manifest_3: Rolling, Manifest, 3, Way::default();
    // Here every right is taken away once, one after the other, before the run that has them all.
    rolling_operator_1: Rolling, Operator, 1, Way { one_right_less: Some(Share::All), ..Way::default() };
    rolling_operator_3: Rolling, Operator, 3, Way::default();
    cutover_manifest_1: Cutover, Manifest, 1, Way::default();
    cutover_manifest_3: Cutover, Manifest, 3, Way::default();
    cutover_operator_1: Cutover, Operator, 1, Way::default();
    cutover_operator_3: Cutover, Operator, 3, Way::default();
}
