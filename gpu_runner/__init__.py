"""The runner: a daemon that reports and obeys, a warm process that forks jobs, and the jobs themselves."""
