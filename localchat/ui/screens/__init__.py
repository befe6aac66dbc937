"""One screen per module; a screen asks the session or the app to work and never does it itself."""
