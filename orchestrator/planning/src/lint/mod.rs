//! Reads a finished plan again and says what is odd about it.
