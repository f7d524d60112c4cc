//! What a program needs to buy compute: the market it is on, job files, jobs that outlive the process that
//! submitted them, and evidence that anyone can check offline. Everything the command line does goes through here.
#![forbid(unsafe_code)]
