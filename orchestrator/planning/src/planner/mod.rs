//! Why a plan can or can not be made from what was observed: the planner.
