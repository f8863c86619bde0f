"""Judges what the checks of the doctor saw. Pure: observations in, findings out."""
