//! Renderers: from a [`Report`] to what people and tools read.
