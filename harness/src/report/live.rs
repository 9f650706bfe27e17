use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::run::outcome::Stage;

/// The longest text beside a stage that is shown.
const TEXT: usize = 60;

/// A line for each run on a terminal, which is told anew whenever a run gets on. Where stderr is no
/// terminal, nothing is told.
#[derive(Debug)]
pub struct Live(Option<Mutex<Board>>);

#[derive(Debug)]
struct Board {
    begun: Instant,
    lines: Vec<(String, String)>,
    shown: usize,
}

impl Live {
    /// For the runs of these scenarios.
    pub fn new(names: &[String]) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let lines = names
            .iter()
            .map(|name| (name.clone(), String::new()))
            .collect();
        Self(Some(Mutex::new(Board {
            begun: Instant::now(),
            lines,
            shown: 0,
        })))
    }

    /// Tells how a run gets on.
    pub fn tell(&self, name: &str, stage: Stage, text: &str) {
        let Some(board) = &self.0 else { return };
        let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
        let text: String = text
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(TEXT)
            .collect();
        let line = format!("{stage:<10} {text}");
        let Some((_, told)) = board.lines.iter_mut().find(|(known, _)| known == name) else {
            return;
        };
        if *told != line {
            *told = line;
            board.show(&mut std::io::stderr());
        }
    }

    /// Takes the lines away, so that the report stands alone.
    pub fn clear(&self) {
        if let Some(board) = &self.0 {
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            let shown = std::mem::take(&mut board.shown);
            let _ = write!(std::io::stderr(), "{}", up(shown));
        }
    }
}

impl Board {
    fn show(&mut self, terminal: &mut impl Write) {
        let width = self
            .lines
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or_default();
        let mut text = up(self.shown);
        for (name, line) in &self.lines {
            text.push_str(&format!("{name:<width$}  {line}\n"));
        }
        text.push_str(&format!("{:.0} s\n", self.begun.elapsed().as_secs_f64()));
        self.shown = self.lines.len() + 1;
        // A terminal that is gone is no reason to stop.
        let _ = terminal
            .write_all(text.as_bytes())
            .and_then(|()| terminal.flush());
    }
}

/// Goes up so many lines and clears them.
fn up(lines: usize) -> String {
    match lines {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\x1b[J"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_in_the_place_of_those_before() {
        let mut board = Board {
            begun: Instant::now(),
            lines: vec![("a".into(), "inject".into()), ("long".into(), "fix".into())],
            shown: 0,
        };
        let mut shown = Vec::new();
        board.show(&mut shown);
        board.show(&mut shown);
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(
            shown,
            "a     inject\nlong  fix\n0 s\n\x1b[3A\x1b[Ja     inject\nlong  fix\n0 s\n"
        );
    }
}
