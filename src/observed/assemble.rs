//! From lists of resources to services.
