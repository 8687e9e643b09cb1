//! What a builder tells its user on the way.

/// Takes sentences about what is being done.
pub struct Progress<'a>(&'a mut dyn FnMut(&str));

impl<'a> Progress<'a> {
    /// Over any listener.
    pub fn new(listener: &'a mut dyn FnMut(&str)) -> Self {
        Self(listener)
    }

    /// One thing that is being done now.
    pub fn say(&mut self, what: &str) {
        (self.0)(what);
    }
}
