package kiosk

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// usersView is who may sign in.
type usersView struct {
	People    []personLine
	Roles     []Role
	Chosen    *personLine // who is to be changed
	CanChange bool
}

// personLine is a person as the page has one.
type personLine struct {
	Person
	Self      bool // who looks
	IsLocked  bool
	LastAdmin bool // nobody else could make users
}

func newUsersView(all []Person, self, chosen string, now time.Time, may func(Action) bool) usersView {
	v := usersView{Roles: Roles, CanChange: may(ChangeUsers)}
	admins := 0
	for _, p := range all {
		if p.Role == Admin {
			admins++
		}
	}
	for _, p := range all {
		v.People = append(v.People, personLine{Person: p, Self: p.ID == self, IsLocked: p.Locked.After(now), LastAdmin: p.Role == Admin && admins == 1})
	}
	slices.SortStableFunc(v.People, func(a, b personLine) int {
		return cmp.Or(slices.Index(Roles, a.Role)-slices.Index(Roles, b.Role), cmp.Compare(a.ID, b.ID))
	})
	for i := range v.People {
		if v.CanChange && v.People[i].ID == chosen {
			v.Chosen = &v.People[i]
		}
	}
	return v
}

// users answers GET /users?user.
func (p *pages) users(w http.ResponseWriter, r *http.Request) {
	v := visitorOf(r.Context())
	p.show(w, r, http.StatusOK, "users", newUsersView(p.o.People.All(), v.Who.ID, r.FormValue("user"), time.Now(), v.Role.May))
}
