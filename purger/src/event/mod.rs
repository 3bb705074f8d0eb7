//! What a record of a purge topic asks for.
