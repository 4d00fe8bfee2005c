//! Enumerations of words, with the words as the schema lists them.

/// Declares an enum whose variants are the words of a schema. The first is the default.
macro_rules! text_enum {
    ($(#[$meta:meta])* pub enum $name:ident {
        $(#[$first_meta:meta])* $first:ident = $first_word:literal,
        $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $(#[$first_meta])*
            #[default]
            #[serde(rename = $first_word)]
            $first,
            $($(#[$variant_meta])*
            #[serde(rename = $word)]
            $variant,)*
        }

        impl $name {
            /// Every word, in the order of crds.md.
            pub const WORDS: &'static [&'static str] = &[$first_word, $($word),*];

            /// The word of this value.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl crate::schema::Absent for $name {}
    };
}
pub(crate) use text_enum;
