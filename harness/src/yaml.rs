//! YAML in and out. Every call of the YAML library lies here, so that another can take its place.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;
use serde_saphyr::{SnippetMode, Spanned};

/// A place in a text; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// The text is not YAML, or not of the form that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong and what was expected.
    pub message: String,
    /// Where, if that is known.
    pub position: Option<Position>,
}

fn position(location: serde_saphyr::Location) -> Option<Position> {
    let line = usize::try_from(location.line()).ok()?;
    let column = usize::try_from(location.column()).ok()?;
    (line > 0 && column > 0).then_some(Position { line, column })
}

impl From<serde_saphyr::Error> for Error {
    fn from(error: serde_saphyr::Error) -> Self {
        let position = error.location().and_then(position);
        let options = serde_saphyr::render_options! { snippets: SnippetMode::Off };
        let mut message = error.without_snippet().render_with_options(options);
        // The place is told apart from the message.
        if let Some(at) = message.rfind(" at line ") {
            message.truncate(at);
        }
        let message = match message.trim_start_matches("error: ") {
            "invalid u16" | "invalid u32" | "invalid u64" => "expected a whole number, 0 or more",
            "invalid i32" | "invalid i64" => "expected a whole number",
            "invalid bool" => "expected true or false",
            other => other,
        };
        Self {
            message: message.to_owned(),
            position,
        }
    }
}

/// Reads one document of a known form.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    Ok(serde_saphyr::from_str(text)?)
}

/// Reads every document that is not empty, as kubectl does: `0644` is an octal number.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let mut documents: Vec<Value> = serde_saphyr::from_str_multiple_with_options(text, options)?;
    documents.retain(|document| !document.is_null());
    Ok(documents)
}

/// Writes one document.
pub fn to_string<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_saphyr::to_string(value).map_err(|error| Error {
        message: error.to_string(),
        position: None,
    })
}

/// Where in a document each value stands, by its JSON pointer: `/expect/0/class`.
#[derive(Clone, Debug, Default)]
pub struct Positions(BTreeMap<String, Position>);

impl Positions {
    /// Reads them from a text; none from one that is not YAML.
    pub fn of(text: &str) -> Self {
        let mut positions = BTreeMap::new();
        if let Ok(root) = serde_saphyr::from_str::<Spanned<Node>>(text) {
            record(&root, String::new(), &mut positions);
        }
        Self(positions)
    }

    /// Whether there is a value of this pointer.
    pub fn has(&self, pointer: &str) -> bool {
        self.0.contains_key(pointer)
    }

    /// Where the value of this pointer stands, or the nearest that holds it.
    pub fn find(&self, pointer: &str) -> Option<Position> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.0.get(pointer) {
                return Some(*position);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }
}

/// One step of a JSON pointer (RFC 6901).
pub fn pointer_step(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn record(node: &Spanned<Node>, pointer: String, positions: &mut BTreeMap<String, Position>) {
    match &node.value {
        Node::Leaf => {}
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                record(item, format!("{pointer}/{index}"), positions);
            }
        }
        Node::Map(entries) => {
            for (key, value) in entries {
                record(value, format!("{pointer}{}", pointer_step(key)), positions);
            }
        }
    }
    if let Some(position) = position(node.referenced) {
        positions.insert(pointer, position);
    }
}

/// A document of which only the shape and the places are kept.
enum Node {
    Leaf,
    List(Vec<Spanned<Node>>),
    Map(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;

        macro_rules! leaves {
            ($($visit:ident($type:ty))*) => {
                $(fn $visit<E>(self, _: $type) -> Result<Node, E> {
                    Ok(Node::Leaf)
                })*
            };
        }

        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a YAML value")
            }

            leaves! {
                visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128)
                visit_f64(f64) visit_str(&str) visit_bytes(&[u8])
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }

            fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<Node, D::Error> {
                some.deserialize_any(self)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Node::Map(entries))
            }

            fn visit_enum<A: serde::de::EnumAccess<'de>>(self, data: A) -> Result<Node, A::Error> {
                data.variant::<IgnoredAny>()?;
                Ok(Node::Leaf)
            }
        }

        deserializer.deserialize_any(NodeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_by_pointer() {
        let text = "name: a\nexpect:\n  - class: x\n    detail: { port: 1 }\n";
        let positions = Positions::of(text);
        let at = |pointer: &str| positions.find(pointer).map(|p| (p.line, p.column));
        assert_eq!(at("/name"), Some((1, 7)));
        assert_eq!(at("/expect/0/class"), Some((3, 12)));
        assert_eq!(at("/expect/0/detail/port"), Some((4, 21)));
        assert_eq!(at("/expect/0/absent"), at("/expect/0"));
    }

    #[test]
    fn numbers_are_read_as_kubectl_reads_them() {
        let documents = documents("mode: 0644\n---\n---\nb: yes\n").expect("YAML");
        assert_eq!(
            documents,
            [
                serde_json::json!({"mode": 420}),
                serde_json::json!({"b": true})
            ]
        );
    }

    #[test]
    fn an_error_tells_what_and_where() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            #[expect(dead_code, reason = "only read")]
            name: String,
        }
        let error = from_str::<Form>("name: a\nnmae: b\n").expect_err("an unknown field");
        assert_eq!(error.message, "unknown field `nmae`, expected one of name");
        assert_eq!(error.position, Some(Position { line: 2, column: 1 }));
    }
}
