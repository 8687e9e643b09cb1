//! The engine on a small simulated cluster, with plans made by hand.
#![allow(unreachable_pub, reason = "the modules of one test program")]

mod cluster;
mod crashes;
mod drains;
mod families;
mod faults;
mod guards;
mod images;
mod in_place;
mod installs;
mod journals;
mod locks;
mod migration;
mod observing;
mod orphans;
mod plans;
mod rights;
mod rollbacks;
mod runs;
mod silence;
mod undone;
mod ways_back;
