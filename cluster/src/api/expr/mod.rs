//! Expressions: conditions, updates, filters and projections.
//!
//! Parsing happens once, in the router, and substitutes names and values; what
//! is replicated is the tree. Evaluation is pure and the same on every
//! replica. Everything is bounded: text by [`MAX_EXPRESSION`], trees by
//! [`MAX_DEPTH`] and [`MAX_OPERATORS`], paths by the nesting limit of items.

pub mod condition;
mod lex;
mod parse;
mod parse_condition;
mod parse_update;
pub mod path;
pub mod project;
#[cfg(test)]
mod tests;
pub mod update;

pub use condition::{Comparison, Condition, Operand};
pub use parse::{Names, Scope, Values};
pub use path::{Path, Step};
pub use project::Projection;
pub use update::{SetOperand, SetValue, Update};

/// Longest expression, in bytes.
pub const MAX_EXPRESSION: usize = 4096;
/// Deepest nesting of parentheses, NOT and functions.
pub const MAX_DEPTH: usize = 64;
/// Most operators and functions in one expression.
pub const MAX_OPERATORS: usize = 300;
