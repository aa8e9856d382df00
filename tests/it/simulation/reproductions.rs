//! Bugs that the simulation found, each as the operations that showed it.
