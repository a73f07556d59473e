"""What is shown, as plain data: rows, lines and curves that know nothing of Textual."""
