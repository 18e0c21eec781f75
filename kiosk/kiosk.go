// Package kiosk is the station as people see it: the operator's page, which stays open on the line all shift, the pages of whoever looks a unit up, and the JSON
// API behind them. It shows what it is told (Wall), asks the station to do what people want (Station, Records), and sees to it that nobody does what is not theirs
// (Role, People). What may be done to a unit, and when, is decided in provision; entries are the ledger's; where things are kept is the business of whoever opens it.
// No page asks another host for anything, and no text stands outside of the catalogues in text/.
package kiosk
