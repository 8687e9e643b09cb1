//! Where a run stands, as rows for a terminal of a given size: made from the plan and what the run tells.

use super::frame::{Paint, Row};
use console::{measure_text_width, pad_str, truncate_str};
use replank_execution::RunEvent;
use replank_planning::ids::{SlotId, StepId};
use replank_planning::journal::{Record, RunState, StepPhase};
use replank_planning::plan::{Plan, Slot};
use replank_planning::waiting::Waiting;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

/// A run's plan, where it stands, and since when it waits for what. Durations are those of tokio's clock,
/// as the run's own are.
pub(crate) struct Board {
    plan: Plan,
    state: RunState,
    /// The steps' places in the plan, by slot.
    places: BTreeMap<SlotId, Vec<usize>>,
    begun: Instant,
    waits: BTreeMap<Option<StepId>, (Waiting, Instant)>,
    started: BTreeMap<StepId, Instant>,
}

/// What a row says before it is laid out.
struct Cells {
    name: String,
    step: String,
    text: String,
    since: Option<Instant>,
    paint: Paint,
}

impl Board {
    /// The board of a run that stands where its journal says (`RunState::default()` for a new one).
    pub(crate) fn new(plan: Plan, state: RunState) -> Self {
        let mut places: BTreeMap<SlotId, Vec<usize>> = BTreeMap::new();
        for (place, step) in plan.steps.iter().enumerate() {
            if let Some(slot) = &step.slot {
                places.entry(slot.clone()).or_default().push(place);
            }
        }
        Self { plan, state, places, begun: Instant::now(), waits: BTreeMap::new(), started: BTreeMap::new() }
    }

    /// Takes in what happened.
    pub(crate) fn take(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Waiting { step, waiting } => self.waits_for(step.clone(), waiting.clone()),
            RunEvent::Recorded(entry) => {
                // What contradicts the journal is the engine's to refuse; here it changes nothing.
                let _ = self.state.apply(entry);
                match &entry.record {
                    Record::Waiting { step, waiting } => self.waits_for(step.clone(), waiting.clone()),
                    Record::Started { step, .. } | Record::UndoStarted { step, .. } => {
                        self.waits.remove(&None);
                        self.waits.remove(&Some(step.clone()));
                        self.started.insert(step.clone(), Instant::now());
                    }
                    Record::Succeeded { step, .. } | Record::UndoSucceeded { step } => {
                        self.waits.remove(&Some(step.clone()));
                    }
                    Record::Resumed => self.waits.clear(),
                    _ => {}
                }
            }
        }
    }

    /// Waiting for the same thing goes on since it began, even if a count in it changed.
    fn waits_for(&mut self, step: Option<StepId>, waiting: Waiting) {
        let since = match self.waits.get(&step) {
            Some((before, since)) if before.code() == waiting.code() => *since,
            _ => Instant::now(),
        };
        self.waits.insert(step, (waiting, since));
    }

    /// The slot whose node this event made an end of, with its replacement's name.
    pub(crate) fn replaced_by(&self, event: &RunEvent) -> Option<(&Slot, String)> {
        let RunEvent::Recorded(entry) = event else { return None };
        let Record::Succeeded { step, .. } = &entry.record else { return None };
        let slot = self.plan.slot(self.plan.step(step)?.slot.as_ref()?)?;
        self.is_done(slot).then(|| (slot, self.new_name(slot)))
    }

    /// The rows, none wider than `columns` and no more than `height`.
    pub(crate) fn rows(&self, height: usize, columns: usize) -> Vec<Row> {
        let mut others = self.run_itself();
        others.extend(self.steps_without_node());
        let nodes: Vec<Cells> = self.plan.slots.iter().map(|slot| self.node(slot)).collect();
        let room = height.saturating_sub(1 + others.len());
        let shown = if nodes.len() <= room { 0..nodes.len() } else { window(&nodes, room.saturating_sub(1)) };
        let hidden = self.hidden(&nodes, &shown);
        let names = others.iter().chain(&nodes[shown.clone()]).map(|cells| measure_text_width(&cells.name));
        let name_width = names.max().unwrap_or(0).min(columns / 3);
        let mut rows = vec![Row { text: self.head(columns), paint: Paint::Head }];
        rows.extend(others.iter().chain(&nodes[shown]).map(|cells| cells.row(name_width, columns)));
        rows.extend(hidden.map(|text| Row { text: fit(&text, columns), paint: Paint::Faint }));
        rows.truncate(height);
        rows
    }

    fn head(&self, columns: usize) -> String {
        let phase = |step: &StepId| self.state.steps.get(step).map(|s| s.phase).unwrap_or_default();
        let steps = self.plan.steps.len();
        let done = self.plan.steps.iter().filter(|s| phase(&s.id) == StepPhase::Succeeded).count();
        let nodes = self.plan.slots.iter().filter(|slot| self.is_done(slot)).count();
        let figures = format!(
            "step {done} of {steps}  nodes {nodes} of {}  {}",
            self.plan.slots.len(),
            duration(self.begun.elapsed())
        );
        let left = columns.saturating_sub(measure_text_width(&figures) + 4).min(30);
        if left < 5 {
            return fit(&figures, columns);
        }
        let full = (left * done).checked_div(steps).unwrap_or(0);
        format!("[{}{}]  {figures}", "#".repeat(full), ".".repeat(left - full))
    }

    fn run_itself(&self) -> Vec<Cells> {
        let waits = self.waits.get(&None).map(|(waiting, since)| Cells {
            name: "run".to_owned(),
            step: "waits".to_owned(),
            text: sentence(waiting),
            since: Some(*since),
            paint: Paint::Active,
        });
        waits.into_iter().collect()
    }

    fn steps_without_node(&self) -> Vec<Cells> {
        let open = |id: &StepId| self.is_open(id);
        let own = self.plan.steps.iter().filter(|step| step.slot.is_none() && open(&step.id));
        own.map(|step| {
            let (name, rest) = step.id.as_str().split_once('/').unwrap_or(("", step.id.as_str()));
            self.doing(name, rest, &step.id)
        })
        .collect()
    }

    fn node(&self, slot: &Slot) -> Cells {
        let name = slot.old.name.as_str();
        if self.is_done(slot) {
            let ranges: Vec<String> = slot.new.pod_cidrs.iter().map(ToString::to_string).collect();
            let text = format!("now {}, {}", self.new_name(slot), ranges.join(","));
            return plain(name, "replaced", text, Paint::Done);
        }
        let steps = self.steps_of(slot);
        let word = |id: &StepId| id.as_str().rsplit('/').next().unwrap_or_default().replace('-', " ");
        if let Some(open) = steps.iter().find(|id| self.is_open(id)) {
            return self.doing(name, &word(open), open);
        }
        let untouched = steps.iter().all(|id| self.phase(id) == StepPhase::Pending);
        match steps.iter().find(|id| self.phase(id) != StepPhase::Succeeded) {
            Some(next) if !untouched => plain(name, &word(next), "next".to_owned(), Paint::Active),
            _ => plain(name, "-", String::new(), Paint::Faint),
        }
    }

    /// The row of a step that is under way, or that needs a person.
    fn doing(&self, name: &str, word: &str, id: &StepId) -> Cells {
        let record = self.state.steps.get(id);
        let failure = record.and_then(|r| r.failure.clone()).unwrap_or_default();
        let waits = self.waits.get(&Some(id.clone()));
        let (text, since) = match waits {
            Some((waiting, since)) => (sentence(waiting), Some(*since)),
            None => (String::new(), self.started.get(id).copied()),
        };
        let (name, since) = (name.to_owned(), since);
        match self.phase(id) {
            StepPhase::Failed if waits.is_none() => {
                Cells { name, step: word.to_owned(), text: failure, since: None, paint: Paint::Bad }
            }
            StepPhase::Stuck => {
                Cells { name, step: "stuck".to_owned(), text: failure, since: None, paint: Paint::Bad }
            }
            StepPhase::Undoing => {
                Cells { name, step: format!("undo {word}"), text, since, paint: Paint::Active }
            }
            _ => Cells { name, step: word.to_owned(), text, since, paint: Paint::Active },
        }
    }

    fn steps_of(&self, slot: &Slot) -> Vec<&StepId> {
        let places = self.places.get(&slot.id).map(Vec::as_slice).unwrap_or_default();
        places.iter().map(|place| &self.plan.steps[*place].id).collect()
    }

    fn phase(&self, id: &StepId) -> StepPhase {
        self.state.steps.get(id).map(|s| s.phase).unwrap_or_default()
    }

    /// Under way, failed, stuck, or waiting before its beginning.
    fn is_open(&self, id: &StepId) -> bool {
        use StepPhase::{Failed, Started, Stuck, Undoing};
        matches!(self.phase(id), Started | Failed | Undoing | Stuck)
            || self.waits.contains_key(&Some(id.clone()))
    }

    fn is_done(&self, slot: &Slot) -> bool {
        let steps = self.steps_of(slot);
        !steps.is_empty() && steps.iter().all(|id| self.phase(id) == StepPhase::Succeeded)
    }

    fn new_name(&self, slot: &Slot) -> String {
        let learned = self.state.slots.get(&slot.id).and_then(|facts| facts.node.as_ref());
        learned.map_or_else(|| slot.new.machine_name.clone(), |(name, _)| name.to_string())
    }

    fn hidden(&self, nodes: &[Cells], shown: &Range<usize>) -> Option<String> {
        let hidden = nodes.len() - shown.len();
        let done = |range: &[Cells]| range.iter().filter(|cells| cells.paint == Paint::Done).count();
        let gone = done(nodes) - done(&nodes[shown.clone()]);
        (hidden > 0).then(|| format!("  and {hidden} more: {gone} replaced, {} to come", hidden - gone))
    }
}

/// The rows that matter most where there is no room for all: around the first that is under way.
fn window(nodes: &[Cells], room: usize) -> Range<usize> {
    let first = nodes.iter().position(|cells| matches!(cells.paint, Paint::Active | Paint::Bad));
    let first = first.unwrap_or_else(|| nodes.iter().take_while(|cells| cells.paint == Paint::Done).count());
    // A few of those before it, to see what went well.
    let from = first.saturating_sub(room / 3).min(nodes.len().saturating_sub(room));
    from..(from + room).min(nodes.len())
}

fn plain(name: &str, step: &str, text: String, paint: Paint) -> Cells {
    Cells { name: name.to_owned(), step: step.to_owned(), text, since: None, paint }
}

/// Wide enough for the longest name of a step that a node has.
const STEP_WIDTH: usize = 11;

impl Cells {
    fn row(&self, name_width: usize, columns: usize) -> Row {
        let name = fit(&self.name, name_width);
        let name = pad_str(&name, name_width, console::Alignment::Left, None);
        let step_width = STEP_WIDTH.max(measure_text_width(&self.step));
        let step = pad_str(&self.step, step_width, console::Alignment::Left, None);
        let since = self.since.map(|since| duration(since.elapsed())).unwrap_or_default();
        let before = format!("  {name}  {step}  ");
        let taken = measure_text_width(&before) + 2 + since.len();
        let text = fit(&self.text, columns.saturating_sub(taken));
        let line = match since.is_empty() {
            true => format!("{before}{text}"),
            false => {
                let gap = columns.saturating_sub(taken + measure_text_width(&text)) + 2;
                format!("{before}{text}{}{since}", " ".repeat(gap.max(2)))
            }
        };
        Row { text: fit(line.trim_end(), columns), paint: self.paint }
    }
}

/// What is waited for, without the words that every row would begin with.
fn sentence(waiting: &Waiting) -> String {
    let text = waiting.to_string();
    text.strip_prefix("waiting for ").map(str::to_owned).unwrap_or(text)
}

/// A text cut to a width, with a sign that it was cut.
fn fit(text: &str, width: usize) -> String {
    let line = text.replace(['\n', '\r', '\t'], " ");
    let tail = if width > 3 { "..." } else { "" };
    truncate_str(&line, width, tail).into_owned()
}

/// `8s`, `3m05s`, `2h03m`.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replank_planning::ids::{ClusterUid, Digest};
    use replank_planning::intent::{API_VERSION, Intent};
    use replank_planning::journal::Entry;
    use replank_planning::late::NodeRef;
    use replank_planning::plan::action::{Action, NodeAct, SlotAct};
    use replank_planning::plan::allocation::OldNode;
    use replank_planning::plan::{Allocation, Binding, PlannedStep, Undo};
    use replank_provider_protocol::{Epoch, Keeping, Replacement, Role};

    fn slot(at: usize) -> Slot {
        let name = format!("worker-{at}");
        Slot {
            id: SlotId::new(name.as_str()),
            role: Role::Worker,
            replacement: Replacement::Fresh,
            old: OldNode {
                name: name.as_str().into(),
                uid: "u".into(),
                machine: format!("m-{at}").as_str().into(),
                keeping: Keeping::Stopped,
            },
            new: Allocation {
                machine_name: format!("{name}-r2"),
                pod_cidrs: vec![format!("10.244.{at}.0/24").parse().unwrap()],
                labels: BTreeMap::new(),
                taints: Vec::new(),
            },
        }
    }

    /// A board of so many nodes, each with a cordon and a stop.
    fn board(nodes: usize) -> Board {
        let slots: Vec<Slot> = (1..=nodes).map(slot).collect();
        let steps = slots.iter().flat_map(|slot| {
            let node = NodeRef::Old {
                slot: slot.id.clone(),
                name: slot.old.name.clone(),
                uid: slot.old.uid.clone(),
            };
            let cordon = Action::Cordon(NodeAct { node });
            let stop = Action::StopMachine(SlotAct { slot: slot.id.clone() });
            [("cordon", cordon), ("stop", stop)].map(|(name, action)| PlannedStep {
                id: StepId::new(format!("{}/{name}", slot.id)),
                after: Vec::new(),
                slot: Some(slot.id.clone()),
                action,
                undo: Undo::Nothing,
            })
        });
        let plan = Plan {
            api_version: API_VERSION.to_owned(),
            kind: "Plan".to_owned(),
            tool_version: "test".to_owned(),
            cluster: Binding { uid: ClusterUid::new("c"), facts: BTreeMap::new() },
            intent: Intent::default(),
            findings: Vec::new(),
            consents: Vec::new(),
            steps: steps.collect(),
            slots,
        };
        Board::new(plan, RunState::default())
    }

    fn recorded(record: Record) -> RunEvent {
        RunEvent::Recorded(Box::new(Entry {
            sequence: 1,
            time: "2026-01-05T08:00:00.000Z".to_owned(),
            epoch: Epoch::default(),
            record,
            previous: Digest::new("d"),
        }))
    }

    fn begins(board: &mut Board, step: &str) {
        let before = serde_json::Value::Null;
        board.take(&recorded(Record::Started { step: step.into(), attempt: 1, before }));
    }

    fn ends(board: &mut Board, step: &str) {
        let after = serde_json::Value::Null;
        board.take(&recorded(Record::Succeeded { step: step.into(), after }));
    }

    fn text(board: &Board, height: usize, columns: usize) -> String {
        let rows = board.rows(height, columns);
        rows.into_iter().map(|row| row.text + "\n").collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_node_has_a_row_with_what_it_waits_for_and_since_when() {
        let mut board = board(3);
        for step in ["worker-1/cordon", "worker-1/stop"] {
            begins(&mut board, step);
            ends(&mut board, step);
        }
        begins(&mut board, "worker-2/cordon");
        let waiting = Waiting::Retry { reason: "the webhook is away".to_owned() };
        board.take(&RunEvent::Waiting { step: Some("worker-2/cordon".into()), waiting });
        tokio::time::advance(Duration::from_secs(75)).await;
        insta::assert_snapshot!(text(&board, 23, 79), @r"
        [##########....................]  step 2 of 6  nodes 1 of 3  1m15s
          worker-1  replaced     now worker-1-r2, 10.244.1.0/24
          worker-2  cordon       trying again soon: the webhook is away           1m15s
          worker-3  -
        ");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_waiting_goes_on_since_it_began() {
        let mut board = board(1);
        begins(&mut board, "worker-1/cordon");
        for count in [5, 4] {
            let waiting = Waiting::PodsPending { count, example: "default/a".to_owned() };
            board.take(&RunEvent::Waiting { step: Some("worker-1/cordon".into()), waiting });
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        let told = text(&board, 23, 79);
        assert!(told.contains("4 pending pods") && told.contains("20s"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_nodes_those_under_way_are_shown_and_the_rest_counted() {
        let mut board = board(100);
        for at in 1..=40 {
            for step in ["cordon", "stop"] {
                begins(&mut board, &format!("worker-{at}/{step}"));
                ends(&mut board, &format!("worker-{at}/{step}"));
            }
        }
        begins(&mut board, "worker-41/cordon");
        let told = text(&board, 10, 79);
        assert_eq!(told.lines().count(), 10, "{told}");
        assert!(told.contains("worker-41  cordon"), "{told}");
        assert!(told.contains("and 92 more: 38 replaced, 54 to come"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_terminal_is_too_small() {
        let mut board = board(5);
        begins(&mut board, "worker-2/cordon");
        let waiting = Waiting::Retry { reason: "a sentence that is long, with a ü in it".to_owned() };
        board.take(&RunEvent::Waiting { step: Some("worker-2/cordon".into()), waiting: waiting.clone() });
        board.take(&RunEvent::Waiting { step: None, waiting });
        for columns in 0..90 {
            for height in 0..12 {
                let rows = board.rows(height, columns);
                assert!(rows.len() <= height, "{height}x{columns}: {rows:#?}");
                let wide = rows.iter().find(|row| measure_text_width(&row.text) > columns);
                assert!(wide.is_none(), "{height}x{columns}: {wide:?}");
            }
        }
    }
}
