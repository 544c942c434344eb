"""Who hears of what: reactions as declared, the ledger of what each is owed, and the ways out."""
