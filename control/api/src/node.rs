//! A YAML document as a tree that knows the line of every part.
//!
//! Owns the step from YAML to JSON values; what the values mean is [`crate::load()`]'s.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use crate::problem::Path;

/// One part of a document with the line, from 1, where it begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    line: u64,
    tree: Tree,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Tree {
    #[default]
    Null,
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Line where this part begins.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// Whether nothing stands here.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.tree, Tree::Null)
    }

    /// The same as a JSON value.
    #[must_use]
    pub fn value(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Scalar(value) => value.clone(),
            Tree::List(items) => items.iter().map(Self::value).collect(),
            Tree::Map(entries) => {
                let entries = entries.iter().map(|(key, node)| (key.clone(), node.value()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// The entries of the list under `key`, if this is a map that has one.
    #[must_use]
    pub fn list(&self, key: &str) -> Option<&[Self]> {
        match &self.get(key)?.tree {
            Tree::List(items) => Some(items),
            Tree::Null | Tree::Scalar(_) | Tree::Map(_) => None,
        }
    }

    /// The string under `key`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.tree {
            Tree::Scalar(value) => value.as_str(),
            Tree::Null | Tree::List(_) | Tree::Map(_) => None,
        }
    }

    /// What stands under `key`, if this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.tree {
            Tree::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, n)| n),
            Tree::Null | Tree::Scalar(_) | Tree::List(_) => None,
        }
    }

    /// Line of the part at `path`, or of the deepest part above it that is there.
    #[must_use]
    pub fn line_of(&self, path: &Path) -> u64 {
        let mut rest = if *path == Path::root() { "" } else { path.as_str() };
        let mut node = self;
        while let Some((next, after)) = node.step(rest) {
            node = next;
            rest = after.strip_prefix('.').unwrap_or(after);
        }
        node.line
    }

    /// The part that the beginning of `path` names, and the rest of the path.
    fn step<'p>(&self, path: &'p str) -> Option<(&Self, &'p str)> {
        match &self.tree {
            Tree::Map(entries) => entries.iter().find_map(|(key, node)| {
                let rest = path.strip_prefix(key.as_str())?;
                (rest.is_empty() || rest.starts_with(['.', '['])).then_some((node, rest))
            }),
            Tree::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                Some((items.get(index.parse::<usize>().ok()?)?, rest))
            }
            Tree::Null | Tree::Scalar(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), tree: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        // Infinity and NaN have no JSON number; as text they are refused wherever a number is due.
        let scalar =
            Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number);
        Ok(Tree::Scalar(scalar))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let mut node = access.next_value::<Node>()?;
            // A block value begins below its key; people look for the key.
            if key.referenced.line() != 0 {
                node.line = key.referenced.line();
            }
            entries.push((key.value, node));
        }
        Ok(Tree::Map(entries))
    }
}
