//! Many migrations, each with its own misfortune: a crash at every record, and faults by seed. Each test
//! is a part of a sweep, so that several run side by side.
#![allow(unreachable_pub, reason = "the modules of one test program")]

mod crashes;
mod outages;
mod seeds;
mod world;
