//! Voice API simulator.
