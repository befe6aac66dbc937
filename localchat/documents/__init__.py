"""Files that a user gives with a question: read into text, whatever they are, and put into words for the model."""
