package kiosk

import (
	"cmp"
	"net/http"
	"slices"
)

// jobsView is the choice of what is made.
type jobsView struct {
	Job      *Job
	Good     []RecipeFile // that a job may have, by id and version
	Bad      []RecipeFile // that it may not, by file name
	CanBegin bool
	CanClose bool
}

func newJobsView(files []RecipeFile, job *Job, may func(Action) bool) jobsView {
	v := jobsView{Job: job, CanBegin: job == nil && may(BeginJob), CanClose: job != nil && may(CloseJob)}
	for _, f := range files {
		if f.Problem == "" {
			v.Good = append(v.Good, f)
		} else {
			v.Bad = append(v.Bad, f)
		}
	}
	slices.SortStableFunc(v.Good, func(a, b RecipeFile) int {
		return cmp.Or(cmp.Compare(a.Recipe.ID, b.Recipe.ID), cmp.Compare(b.Recipe.Version, a.Recipe.Version), cmp.Compare(a.File, b.File))
	})
	slices.SortStableFunc(v.Bad, func(a, b RecipeFile) int { return cmp.Compare(a.File, b.File) })
	return v
}

// jobs answers GET /jobs.
func (p *pages) jobs(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, "jobs", newJobsView(p.o.Station.Recipes(), p.state().Job, visitorOf(r.Context()).Role.May))
}
