//! What the clients saw: each asks a Service by its name ten times a second, and keeps every answer on its machine's
//! disk.

use replank_lab::Lab;
use std::collections::BTreeMap;
use std::fmt;

/// Where the client of the workloads writes.
const FOLDER: &str = "root/var/log/replank-client";

/// The answers of all clients that there ever were.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    clients: u32,
    asked: u32,
    failed: u32,
    /// The most failures in a row that one client saw.
    in_a_row: u32,
    why: BTreeMap<String, u32>,
}

impl Answers {
    /// Those on the disks of all machines, old ones too.
    pub(crate) fn of(lab: &Lab) -> Self {
        let mut all = Self::default();
        for machine in lab.machines().expect("machines can be listed") {
            let folder = lab.place().machine(&machine.name).join(FOLDER);
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let text = std::fs::read_to_string(entry.path()).expect("a client wrote text");
                all.add(&text);
            }
        }
        assert!(all.asked > 0, "nobody asked anything");
        all
    }

    fn add(&mut self, text: &str) {
        self.clients += 1;
        let mut row = 0;
        for line in text.lines() {
            let Some((_, answer)) = line.split_once(' ') else { continue };
            self.asked += 1;
            let Some(why) = answer.strip_prefix("failed: ") else {
                row = 0;
                continue;
            };
            row += 1;
            self.failed += 1;
            self.in_a_row = self.in_a_row.max(row);
            *self.why.entry(kind(why).to_owned()).or_default() += 1;
        }
    }
}

/// The end of Go's chain of messages, where no address is.
fn kind(why: &str) -> &str {
    if why.contains("lookup ") {
        return "the name was not resolved";
    }
    match why.rsplit(": ").next() {
        Some(last) if last.contains("Client.Timeout") => "no answer within 2 s",
        Some(last) => last,
        None => why,
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, asked, failed, in_a_row, why } = self;
        write!(
            f,
            "{clients} clients asked {asked} times; {failed} failed, {in_a_row} in a row at most {why:?}"
        )
    }
}

#[test]
fn answers_are_counted_by_kind() {
    let mut answers = Answers::default();
    answers.add(
        "2026-01-01T00:00:00Z ok\n2026-01-01T00:00:01Z failed: Get \"http://web\": dial tcp: lookup web on 10.96.0.10:53: i/o timeout\n\
         2026-01-01T00:00:02Z failed: Get \"http://web\": dial tcp 10.96.1.1:80: connect: connection refused\n",
    );
    let why = BTreeMap::from([("connection refused".into(), 1), ("the name was not resolved".into(), 1)]);
    assert_eq!((answers.asked, answers.failed, answers.in_a_row, answers.why), (3, 2, 2, why));
}
