//! Many migrations, each with its own misfortune: a crash at every record, and faults by seed. Each test
//! is a part of a sweep or spreads one over threads, so that several run side by side.
#![allow(unreachable_pub, reason = "the modules of one test program")]

mod crashes;
mod misfortunes;
mod outages;
mod seeds;
mod world;
