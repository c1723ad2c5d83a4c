//! Words, seams and pure rules.
