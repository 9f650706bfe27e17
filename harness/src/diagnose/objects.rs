//! Reads Kubernetes objects out of JSON and YAML: single ones, Lists, arrays, and any of these one
//! after the other.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crashbook_detector::object::DecodeError;
use crashbook_detector::{Kind, Object};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::endpoints;
use super::layout::Place;
use crate::yaml;

/// The largest object that is read; the API server takes none that is larger than 3 MiB.
const MAX_OBJECT_BYTES: usize = 16 << 20;
/// How many objects without apiVersion and kind are kept until their List says what they are.
const MAX_NAMELESS: usize = 1 << 18;
/// How deep Lists lie in Lists.
const MAX_DEPTH: usize = 4;

/// A List, or what counts as one, whose items are all here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// The kind that the List itself, or its file's place, says its items are of.
    pub(super) kind: Option<Kind>,
    /// The one namespace that was listed, where the file's place says so.
    pub(super) namespace: Option<String>,
    /// What it holds: the namespaces in which it has objects of a kind; for Namespaces, their
    /// names.
    pub(super) holds: BTreeMap<Kind, BTreeSet<String>>,
    /// Whether it holds objects of kinds that no rule reads.
    pub(super) holds_others: bool,
}

/// What was found in one file.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) objects: Vec<Object>,
    pub(super) lists: Vec<List>,
    /// How many objects are of a kind that no rule reads, by apiVersion and kind.
    pub(super) unread: BTreeMap<(String, String), usize>,
    /// What could not be read, and why.
    pub(super) faults: Vec<String>,
}

impl Found {
    fn take(&mut self, value: Value, mut list: Option<&mut List>) {
        if endpoints::are_endpoints(&value) {
            for slice in endpoints::slices(&value) {
                self.take(slice, list.as_deref_mut());
            }
            return;
        }
        match Object::decode(value) {
            Ok(object) => {
                if let Some(list) = list {
                    let meta = object.meta();
                    let held = list.holds.entry(object.kind()).or_default();
                    held.insert(match object.kind() {
                        Kind::Namespace => meta.name.to_owned(),
                        _ => meta.namespace.to_owned(),
                    });
                }
                self.objects.push(object);
            }
            Err(DecodeError::UnknownKind { api_version, kind }) => {
                if let Some(list) = list {
                    list.holds_others = true;
                }
                *self.unread.entry((api_version, kind)).or_default() += 1;
            }
            Err(error) => self.faults.push(with_sources(&error)),
        }
    }
}

/// An error and what caused it, in one line.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Reads JSON: what precedes a fault is kept.
pub(super) fn read_json(content: &[u8], place: &Place, found: &mut Found) {
    let text = String::from_utf8_lossy(content);
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        found.faults.push("it is empty".to_owned());
        return;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    while deserializer.end().is_err() {
        let document = Document {
            place,
            found,
            depth: 0,
        };
        if let Err(error) = document.deserialize(&mut deserializer) {
            found.faults.push(format!("not JSON: {error}"));
            return;
        }
    }
}

/// Reads YAML: a document that is not YAML does not hide the others.
pub(super) fn read_yaml(content: &[u8], place: &Place, found: &mut Found) {
    let text = String::from_utf8_lossy(content);
    let text = text.trim_start_matches('\u{feff}');
    for (first_line, document) in split_yaml(text) {
        let values = match yaml::documents(document) {
            Ok(values) => values,
            Err(error) => {
                let line = first_line + error.position.map_or(0, |position| position.line - 1);
                found.faults.push(format!("not YAML: line {line}: {error}"));
                continue;
            }
        };
        for value in values {
            if !value.is_object() && !value.is_array() {
                found.faults.push(format!(
                    "line {first_line}: not a Kubernetes object: neither a map nor a list"
                ));
                continue;
            }
            read_json(value.to_string().as_bytes(), place, found);
        }
    }
}

/// The documents of a text, each with the number of its first line. A line that starts with `---`
/// starts a document wherever it stands.
fn split_yaml(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let marks = line.strip_prefix("---").is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_whitespace())
        });
        if marks && offset > start {
            documents.push((start_line, &text[start..offset]));
            (start, start_line) = (offset, index + 1);
        }
        offset += line.len();
    }
    documents.push((start_line, &text[start..]));
    documents
}

/// One JSON value: an object, a List, or an array of them.
struct Document<'a> {
    place: &'a Place,
    found: &'a mut Found,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($visit:ident($type:ty))*) => {
        $(fn $visit<E>(self, _: $type) -> Result<(), E> {
            self.found.faults.push("not a Kubernetes object".to_owned());
            Ok(())
        })*
    };
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object, a List, or an array of objects")
    }

    scalars! { visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str) }

    /// What a client writes for no items.
    fn visit_unit<E>(self) -> Result<(), E> {
        let list = List {
            kind: self.place.kind,
            namespace: self.place.namespace.clone(),
            ..List::default()
        };
        if list.kind.is_some() {
            self.found.lists.push(list);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut list = List {
            kind: self.place.kind,
            namespace: self.place.namespace.clone(),
            ..List::default()
        };
        let mut nameless = Nameless::default();
        while let Some(item) = items.next_element::<&RawValue>()? {
            nameless.item(item, self.found, &mut list, self.depth);
        }
        nameless.settle(None, self.place, self.found, &mut list);
        self.found.lists.push(list);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut parts: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        let mut size = 0;
        let mut list = List::default();
        let mut nameless = Nameless::default();
        let mut has_items = false;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "items" && !has_items {
                has_items = true;
                map.next_value_seed(Items {
                    found: &mut *self.found,
                    list: &mut list,
                    nameless: &mut nameless,
                    depth: self.depth,
                })?;
                continue;
            }
            let part = map.next_value::<&RawValue>()?;
            size += key.len() + part.get().len();
            if size <= MAX_OBJECT_BYTES {
                parts.push((key, part));
            }
        }
        if size > MAX_OBJECT_BYTES {
            let fault = format!("an object of more than {} MiB", MAX_OBJECT_BYTES >> 20);
            self.found.faults.push(fault);
            return Ok(());
        }
        let text = |key: &str| {
            let (_, part) = parts.iter().find(|(name, _)| name == key)?;
            serde_json::from_str::<String>(part.get()).ok()
        };
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let is_list = has_items && kind.as_deref().is_none_or(|kind| kind.ends_with("List"));
        if !is_list {
            let value = parts
                .into_iter()
                .map(|(key, part)| Ok((key.into_owned(), serde_json::from_str(part.get())?)))
                .collect::<Result<_, serde_json::Error>>();
            match value {
                Ok(value) => self
                    .found
                    .take(named(Value::Object(value), None, self.place), None),
                Err(error) => self.found.faults.push(error.to_string()),
            }
            return Ok(());
        }
        let of = kind.as_deref().and_then(|kind| kind.strip_suffix("List"));
        let of = of.filter(|kind| !kind.is_empty());
        let of = of.map(|kind| (api_version.unwrap_or_default(), kind.to_owned()));
        list.kind = match &of {
            Some((api_version, kind)) if api_version == "v1" && kind == "Endpoints" => {
                Some(Kind::EndpointSlice)
            }
            Some((api_version, kind)) => Kind::of(api_version, kind),
            None => self.place.kind,
        };
        list.namespace.clone_from(&self.place.namespace);
        list.holds_others |= of.is_some() && list.kind.is_none();
        nameless.settle(of.as_ref(), self.place, self.found, &mut list);
        let metadata = parts.iter().find(|(key, _)| key == "metadata");
        if metadata.is_none_or(|(_, metadata)| is_whole(metadata)) {
            self.found.lists.push(list);
        }
        Ok(())
    }
}

/// Whether a List with this metadata is the last page of its kind.
fn is_whole(metadata: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct ListMeta {
        #[serde(rename = "continue")]
        continue_: Option<String>,
    }
    serde_json::from_str::<ListMeta>(metadata.get()).map_or(true, |meta| {
        meta.continue_.is_none_or(|token| token.is_empty())
    })
}

/// The items of a List, read one by one.
struct Items<'a, 'de> {
    found: &'a mut Found,
    list: &'a mut List,
    nameless: &'a mut Nameless<'de>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Items<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a List")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            self.nameless.item(item, self.found, self.list, self.depth);
        }
        Ok(())
    }
}

/// Objects that do not say what they are: their List says it, perhaps after them.
#[derive(Default)]
struct Nameless<'de>(Vec<&'de RawValue>);

impl<'de> Nameless<'de> {
    fn item(&mut self, item: &'de RawValue, found: &mut Found, list: &mut List, depth: usize) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            api_version: Option<String>,
            kind: Option<String>,
        }
        let text = item.get();
        let Ok(head) = serde_json::from_str::<Head>(text) else {
            found
                .faults
                .push("an item that is not a Kubernetes object".to_owned());
            return;
        };
        let is_list = head
            .kind
            .as_deref()
            .is_some_and(|kind| kind.ends_with("List"));
        if is_list && depth < MAX_DEPTH {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let document = Document {
                place: &Place::default(),
                found: &mut *found,
                depth: depth + 1,
            };
            if let Err(error) = document.deserialize(&mut deserializer) {
                found.faults.push(error.to_string());
            }
        } else if text.len() > MAX_OBJECT_BYTES {
            let fault = format!("an object of more than {} MiB", MAX_OBJECT_BYTES >> 20);
            found.faults.push(fault);
        } else if head.api_version.is_some() && head.kind.is_some() {
            match serde_json::from_str(text) {
                Ok(value) => found.take(value, Some(list)),
                Err(error) => found.faults.push(error.to_string()),
            }
        } else if self.0.len() < MAX_NAMELESS {
            self.0.push(item);
        } else if self.0.len() == MAX_NAMELESS {
            let fault = format!("more than {MAX_NAMELESS} objects without apiVersion and kind");
            found.faults.push(fault);
        }
    }

    fn settle(
        self,
        of: Option<&(String, String)>,
        place: &Place,
        found: &mut Found,
        list: &mut List,
    ) {
        for item in self.0 {
            match serde_json::from_str(item.get()) {
                Ok(value) => found.take(named(value, of, place), Some(&mut *list)),
                Err(error) => found.faults.push(error.to_string()),
            }
        }
    }
}

/// Gives an object the apiVersion and kind that it lacks: its List's, or those that its file's
/// place tells.
fn named(mut value: Value, of: Option<&(String, String)>, place: &Place) -> Value {
    let of = of.cloned().or_else(|| {
        let kind = place.kind?;
        let group = kind.groups().first()?;
        let api_version = match *group {
            "" => kind.version().to_owned(),
            group => format!("{group}/{}", kind.version()),
        };
        Some((api_version, kind.name().to_owned()))
    });
    if let (Some((api_version, kind)), Some(object)) = (of, value.as_object_mut())
        && object.contains_key("metadata")
    {
        object.entry("apiVersion").or_insert(api_version.into());
        object.entry("kind").or_insert(kind.into());
    }
    value
}
