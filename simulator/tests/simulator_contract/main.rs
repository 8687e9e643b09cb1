//! The contract suite against the simulator, in process and under paused time, and what only the
//! simulator has: faults, the request log, serving.

#[path = "../contract/mod.rs"]
mod contract;
mod faults;
mod hooks;
mod outages;
mod serving;

use replank_simulator::Clock;
use replank_simulator::server::Server;

fn server() -> Server {
    Server::new(Clock::fixed(), 7)
}

macro_rules! stories {
    ($($module:ident::$story:ident),+ $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $story() {
                contract::$module::$story(server().client("contract")).await;
            }
        )+

        /// Every story, for one client after the other.
        async fn all_stories(client: &kube::Client) {
            $( contract::$module::$story(client.clone()).await; )+
        }
    };
}

stories! {
    objects::writes_are_optimistic,
    objects::lists_come_in_pages,
    objects::dry_runs_change_nothing,
    objects::lists_are_selected,
    objects::namespaces_must_be_there,
    deletion::pods_end_gracefully,
    deletion::finalizers_hold,
    deletion::propagation_is_a_finalizer,
    evictions::budgets_are_spent,
    evictions::two_budgets_are_one_too_many,
    evictions::unhealthy_pods_follow_the_policy,
    rules::pod_cidrs_are_given_once,
    rules::pods_hardly_change,
    rules::selectors_are_immutable,
    rules::services_get_addresses,
    rules::unreachable_webhooks_fail_by_policy,
    rules::definitions_come_and_go,
    tokens::roles_decide,
    watches::selectors_turn_changes_into_coming_and_going,
    watches::watches_end_in_time,
    watches::lists_can_be_streamed,
}
