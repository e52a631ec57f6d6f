"""Questions and answers over a screen: choices, text, help, why."""
