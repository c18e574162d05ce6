//! Expressions: conditions, updates, filters and projections.
//!
//! Parsing happens once, in the router, and substitutes names; values are
//! replicated once and named by their number, however often they are used.
//! Evaluation is pure and the same on every replica. Everything is bounded: text
//! by [`MAX_EXPRESSION`], operators by [`MAX_OPERATORS`], nesting by
//! [`MAX_DEPTH`], names by [`MAX_PATHS`], names and values together by
//! [`MAX_SUBSTITUTIONS`], evaluation by [`MAX_WORK`].

mod compare;
pub mod condition;
mod lex;
mod parse;
mod parse_condition;
mod parse_update;
pub mod path;
pub mod project;
mod reserved;
#[cfg(test)]
mod tests;
pub mod update;
pub mod work;

pub use condition::{Comparison, Condition, Operand, Test};
pub use parse::{Names, Scope, Values};
pub use path::{Path, Step};
pub use project::Projection;
pub use update::{SetOperand, SetValue, Update};
pub use work::{MAX_WORK, TooMuchWork, Work};

/// Longest expression, in bytes.
pub const MAX_EXPRESSION: usize = 4096;
/// Deepest nesting of the functions of an update. (Conditions are as deep as
/// their operators allow.)
pub const MAX_DEPTH: usize = 64;
/// Most operators and functions in one expression.
pub const MAX_OPERATORS: usize = 300;
/// Most bytes of `ExpressionAttributeNames` and `ExpressionAttributeValues` together.
pub const MAX_SUBSTITUTIONS: usize = 2 << 20;
/// Most bytes of attribute names in all the paths of a request, after substitution.
/// (DynamoDB states no such limit; a name of 64 KB could be used a thousand times.)
pub const MAX_PATHS: usize = 512 << 10;
