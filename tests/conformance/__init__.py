"""What every log, listener and format must do, asked of each that is registered, and of the fakes."""
