"""The terminal interface: app, screens, widgets, and the session that bridges them to engine and history."""
