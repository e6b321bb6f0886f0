"""Front door of the log: everything that lives on a trace imports from here."""
