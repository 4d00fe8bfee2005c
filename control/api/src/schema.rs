//! Shapes of the custom resources: one declaration gives the Rust struct and its OpenAPI schema.
//!
//! [`Schema`] describes a value; [`Schema::admit`] does to it what the API server does: refuse
//! unknown fields, wrong types, ranges, patterns and lengths, all at once with their paths, and fill
//! the OpenAPI defaults. It then also drops what counts as absent (`null`, and `""` where crds.md
//! says so), so that the typed value needs no second look. CEL rules are [`crate::rule`]'s.
//!
//! Source: crds.md §3.1 to §3.3.

mod admit;
mod text_enum;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::pattern::Pattern;

pub(crate) use text_enum::text_enum;

/// What a value must be.
#[derive(Clone, Debug)]
pub enum Shape {
    /// true or false.
    Bool,
    /// A whole number from the first to the second.
    Int(i64, i64),
    /// A string of so many characters, perhaps with a pattern.
    Text {
        /// Shortest, in characters.
        min: usize,
        /// Longest, in characters.
        max: usize,
        /// Pattern of the whole.
        pattern: Option<Pattern>,
    },
    /// One of these strings.
    Enum(&'static [&'static str]),
    /// An IPv4 address without leading zeros.
    Ipv4,
    /// An IPv6 address without zone.
    Ipv6,
    /// Either.
    Ip,
    /// An IPv4 network of a length from the first to the second.
    Cidr4(u8, u8),
    /// An IPv6 network with the pattern.
    Cidr6(Pattern),
    /// A port as a number or as a string.
    PortOrText,
    /// A list.
    List {
        /// What each item is.
        item: Box<Schema>,
        /// Fewest items.
        min: usize,
        /// Most items.
        max: usize,
    },
    /// Labels: string to string, at most so many.
    Labels(usize),
    /// An object with these fields and no other.
    Object(Vec<Field>),
}

/// A shape with what is around it.
#[derive(Clone, Debug)]
pub struct Schema {
    /// What the value must be.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// OpenAPI default.
    pub default: Option<Value>,
    /// Whether `""` counts as absent.
    pub empty_is_absent: bool,
}

/// One field of an object.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its schema.
    pub schema: Schema,
}

/// A type that is declared with a schema.
pub trait Typed {
    /// Its schema.
    fn schema() -> Schema;
}

/// Whether a value is left out when written.
pub trait Absent {
    /// True if it stands for "not given".
    fn is_absent(&self) -> bool {
        false
    }
}

impl<T> Absent for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T> Absent for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Absent for BTreeMap<K, V> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Absent for bool {}
impl Absent for i32 {}
impl Absent for i64 {}
impl Absent for u16 {}
impl Absent for u32 {}
impl Absent for String {}

impl Schema {
    const fn new(shape: Shape) -> Self {
        Self { shape, required: false, default: None, empty_is_absent: false }
    }

    /// The field must be given.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The OpenAPI default.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// `""` means absent.
    #[must_use]
    pub fn or_empty(mut self) -> Self {
        self.empty_is_absent = true;
        self
    }

    /// The string must match.
    #[must_use]
    pub fn matching(mut self, with: Pattern) -> Self {
        if let Shape::Text { pattern, .. } = &mut self.shape {
            *pattern = Some(with);
        }
        self
    }

    /// Every field of an object with its schema; empty for other shapes.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match &self.shape {
            Shape::Object(fields) => fields,
            _ => &[],
        }
    }
}

/// A boolean.
#[must_use]
pub fn bool() -> Schema {
    Schema::new(Shape::Bool)
}

/// A whole number from `min` to `max`.
#[must_use]
pub fn int(min: i64, max: i64) -> Schema {
    Schema::new(Shape::Int(min, max))
}

/// Seconds from `min` to `max`.
#[must_use]
pub fn seconds(min: i64, max: i64) -> Schema {
    Schema::new(Shape::Int(min, max))
}

/// A port, 0 to 65535.
#[must_use]
pub fn port() -> Schema {
    Schema::new(Shape::Int(0, 65_535))
}

/// A string of `min` to `max` characters.
#[must_use]
pub fn text(min: usize, max: usize) -> Schema {
    Schema::new(Shape::Text { min, max, pattern: None })
}

/// metadata.name of another object.
#[must_use]
pub fn object_name() -> Schema {
    text(1, 253).matching(crate::pattern::OBJECT_NAME)
}

/// spec.name of another object.
#[must_use]
pub fn tmm_name() -> Schema {
    text(1, 63).matching(crate::pattern::TMM_NAME)
}

/// One of `words`.
#[must_use]
pub fn one_of(words: &'static [&'static str]) -> Schema {
    Schema::new(Shape::Enum(words))
}

/// An IPv4 address.
#[must_use]
pub fn ipv4() -> Schema {
    Schema::new(Shape::Ipv4)
}

/// An IPv6 address.
#[must_use]
pub fn ipv6() -> Schema {
    Schema::new(Shape::Ipv6)
}

/// An address of either family.
#[must_use]
pub fn ip() -> Schema {
    Schema::new(Shape::Ip)
}

/// An IPv4 network.
#[must_use]
pub fn cidr4(min: u8, max: u8) -> Schema {
    Schema::new(Shape::Cidr4(min, max))
}

/// An IPv6 network of RFC 6052.
#[must_use]
pub fn cidr6() -> Schema {
    Schema::new(Shape::Cidr6(crate::pattern::RFC6052_LENGTH))
}

/// A port as number or string.
#[must_use]
pub fn port_or_text() -> Schema {
    Schema::new(Shape::PortOrText)
}

/// A list of `item`, with `min` to `max` entries.
#[must_use]
pub fn list(item: Schema, min: usize, max: usize) -> Schema {
    Schema::new(Shape::List { item: Box::new(item), min, max })
}

/// Labels, at most `max`.
#[must_use]
pub fn labels(max: usize) -> Schema {
    Schema::new(Shape::Labels(max))
}

/// An object of type `T`.
#[must_use]
pub fn nested<T: Typed>() -> Schema {
    T::schema()
}

/// An object with these fields.
#[must_use]
pub fn fields(fields: Vec<Field>) -> Schema {
    Schema::new(Shape::Object(fields))
}

/// Declares a struct and its schema. A field is `name: Type, "wireName", schema;`.
macro_rules! object {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty, $wire:literal, $schema:expr;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])*
            #[serde(
                rename = $wire,
                default,
                skip_serializing_if = "crate::schema::Absent::is_absent"
            )]
            pub $field: $type,)*
        }

        impl crate::schema::Typed for $name {
            fn schema() -> crate::schema::Schema {
                crate::schema::fields(vec![
                    $(crate::schema::Field { name: $wire, schema: $schema },)*
                ])
            }
        }

        impl crate::schema::Absent for $name {}
    };
}
pub(crate) use object;
