//! The lower end of a terminal, where rows are drawn in place of those before.

use console::{Style, Term};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Redrawing more often than this shows nobody more.
const SHORTEST: Duration = Duration::from_millis(50);

/// How a row looks where colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// The head of the view.
    Head,
    /// What goes on right now.
    Active,
    /// What is over and well.
    Done,
    /// What needs a person.
    Bad,
    /// What is still to come.
    Faint,
}

impl Paint {
    fn style(self) -> Style {
        let style = Style::new().for_stderr();
        match self {
            Self::Head => style.bold(),
            Self::Active => style,
            Self::Done => style.green(),
            Self::Bad => style.red(),
            Self::Faint => style.dim(),
        }
    }
}

/// A row of a view: text that fits the width it was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Without escape sequences.
    pub(crate) text: String,
    /// How it looks.
    pub(crate) paint: Paint,
}

/// What is drawn there now. The cursor always stands at the beginning of the line below it, so that nothing has
/// to be mended when the program ends.
pub(crate) struct Frame {
    term: Term,
    widths: Vec<usize>,
    drawn: Option<Instant>,
}

impl Frame {
    /// The frame of stderr, if that is a terminal that can move its cursor.
    pub(crate) fn on_stderr() -> Option<Self> {
        let term = Term::stderr();
        let able = std::env::var_os("TERM").is_some_and(|name| name != "dumb");
        (term.is_term() && able).then(|| Self { term, widths: Vec::new(), drawn: None })
    }

    /// Rows and columns that a view may take: the last row is the cursor's, and a text that fills the last
    /// column makes some terminals wrap.
    pub(crate) fn room(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size_checked().unwrap_or((24, 80));
        (usize::from(rows).saturating_sub(1), usize::from(columns).saturating_sub(1))
    }

    /// Whether it is too early to draw again.
    pub(crate) fn is_fresh(&self) -> bool {
        self.drawn.is_some_and(|at| at.elapsed() < SHORTEST)
    }

    /// Draws rows in place of the last ones.
    pub(crate) fn draw(&mut self, rows: &[Row]) {
        let mut out = self.to_top();
        for row in rows {
            let _ = write!(out, "{}\x1b[K\r\n", row.paint.style().apply_to(&row.text));
        }
        out.push_str("\x1b[J");
        self.widths = rows.iter().map(|row| console::measure_text_width(&row.text)).collect();
        self.drawn = Some(Instant::now());
        put(&out);
    }

    /// Writes lines above the rows, which are gone until the next [`Frame::draw`].
    pub(crate) fn above(&mut self, text: &str) {
        let mut out = self.to_top();
        out.push_str("\x1b[J");
        for line in text.lines() {
            out.push_str(line);
            out.push_str("\r\n");
        }
        self.widths.clear();
        self.drawn = None;
        put(&out);
    }

    /// Takes the rows away.
    pub(crate) fn erase(&mut self) {
        self.above("");
    }

    /// The way from the cursor to the first row. A terminal that became narrower has wrapped the rows.
    fn to_top(&self) -> String {
        let (room, columns) = self.room();
        let columns = columns + 1;
        let height: usize = self.widths.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        match height.min(room) {
            0 => "\r".to_owned(),
            up => format!("\r\x1b[{up}A"),
        }
    }
}

fn put(text: &str) {
    let mut err = io::stderr().lock();
    // A terminal that went away ends nothing but the drawing.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
