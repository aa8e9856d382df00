//! Labels with few values: an enum, the text of each, and a table of cells that they index.

/// An enum that is a label: its values in order, and their texts.
pub(super) trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn index(self) -> usize;
    fn text(self) -> &'static str;
}

/// Defines such an enum.
macro_rules! label {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $value,)*
        }

        impl $name {
            /// How many values there are.
            pub const ALL_COUNT: usize = [$(Self::$value),*].len();

            /// All of them, in order.
            pub fn all() -> &'static [Self] {
                <Self as crate::metrics::label::Label>::ALL
            }

            /// As metrics and traces name it.
            pub fn name(self) -> &'static str {
                crate::metrics::label::Label::text(self)
            }
        }

        impl crate::metrics::label::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value),*];

            fn index(self) -> usize {
                self as usize
            }

            fn text(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)*
                }
            }
        }
    };
}
pub(super) use label;

/// A cell for each pair of a row and a column.
pub(super) struct Grid<T> {
    cells: Box<[T]>,
    columns: usize,
}

impl<T> Grid<T> {
    pub(super) fn new(rows: usize, columns: usize, cell: impl Fn() -> T) -> Self {
        Self {
            cells: std::iter::repeat_with(cell).take(rows * columns).collect(),
            columns,
        }
    }

    /// None only for what is outside, which no enum is.
    pub(super) fn get(&self, row: usize, column: usize) -> Option<&T> {
        self.cells.get(row * self.columns + column)
    }
}
