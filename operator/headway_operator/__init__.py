"""The process that watches TrainingJobs and decides: a pure heart (`plan`, `render`) and the plumbing around it."""
