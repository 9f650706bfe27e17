use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use foldhash::HashSet;

/// A short text that many objects have in common: a reason, the name of a node, a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// The text.
    pub fn as_str(&self) -> &str {
        self
    }
}

impl Deref for Symbol {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Symbol {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<String> for Symbol {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&Symbol> for String {
    fn from(symbol: &Symbol) -> Self {
        symbol.to_string()
    }
}

impl PartialEq<str> for Symbol {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Symbol {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The texts that were seen, each held once.
#[derive(Debug, Default)]
pub(crate) struct Symbols(HashSet<Symbol>);

impl Symbols {
    /// Beyond so many, new ones are no longer shared: what should be few is not, in this input.
    const MOST: usize = 1 << 16;

    /// Lets a text be held together with all that are equal to it.
    pub(crate) fn share(&mut self, symbol: &mut Symbol) {
        match self.0.get(symbol) {
            Some(known) => *symbol = known.clone(),
            None if self.0.len() < Self::MOST => {
                self.0.insert(symbol.clone());
            }
            None => {}
        }
    }
}
