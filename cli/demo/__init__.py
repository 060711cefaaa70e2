"""The lab of the Day One book, built through REST alone, explained as it goes."""
