//! One reading of a scope, put together from single calls.
