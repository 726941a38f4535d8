//! Rendered plans, as people see them.
