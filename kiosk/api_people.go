package kiosk

import (
	"context"
	"crypto/subtle"
	"html/template"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

type sessionOutput struct {
	Body struct {
		Person *Person `json:"person" doc:"who is signed in, null for nobody"`
		Role   Role    `json:"role" doc:"\"anyone\" where nobody needs to sign in, \"\" where nobody is"`
		Token  string  `json:"token" doc:"for requests that change something"`
		SetUp  bool    `json:"set_up" doc:"the first user has to be made"`
	}
}

type signInInput struct {
	Body struct {
		Badge string `json:"badge,omitempty" maxLength:"128"`
		Name  string `json:"name,omitempty" maxLength:"64" doc:"or id"`
		PIN   string `json:"pin,omitempty" maxLength:"12"`
	}
}

type setUpInput struct {
	Body struct {
		Code string `json:"code,omitempty" maxLength:"64" doc:"stands where the station was started"`
		ID   string `json:"id" maxLength:"32" doc:"pseudonymous; what the ledger says"`
		Name string `json:"name" maxLength:"64"`
		PIN  string `json:"pin" maxLength:"12"`
	}
}

type usersOutput struct {
	Body struct {
		Users []Person `json:"users"`
	}
}

type userInput struct {
	Body struct {
		ID    string `json:"id" maxLength:"32"`
		Name  string `json:"name" maxLength:"64"`
		Role  Role   `json:"role" enum:"operator,supervisor,auditor,admin"`
		PIN   string `json:"pin,omitempty" maxLength:"12"`
		Badge string `json:"badge,omitempty" maxLength:"128" doc:"\"new\" has one made"`
	}
}

type userChangeInput struct {
	ID   string `path:"id" maxLength:"32"`
	Body PersonChange
}

type userPath struct {
	ID string `path:"id" maxLength:"32"`
}

// userOutput has the code of a badge that was just made: nobody is told it again.
type userOutput struct {
	Body struct {
		Answer
		Code string        `json:"code,omitempty"`
		Bars template.HTML `json:"bars,omitempty" doc:"the code as Code 128, as SVG"`
	}
}

// addPeople adds the routes about who may sign in, and who is.
func (s *Server) addPeople(api huma.API) {
	add(s, api, "GET /api/v1/session", Anybody, "Who is signed in", func(ctx context.Context, _ *none) (*sessionOutput, error) {
		out, v := &sessionOutput{}, visitorOf(ctx)
		out.Body.Person, out.Body.Role, out.Body.Token, out.Body.SetUp = v.Person, v.Role, v.Token, s.o.People.None()
		return out, nil
	})
	add(s, api, "POST /api/v1/session", Anybody, "Sign in, by badge or by name and PIN", func(ctx context.Context, in *signInInput) (*answered, error) {
		if in.Body.Badge != "" {
			return s.enterBadge(ctx, in.Body.Badge)
		}
		return s.enter(ctx, "pin", true, func() (string, Person, error) { return s.o.People.SignInPIN(ctx, in.Body.Name, in.Body.PIN) })
	})
	add(s, api, "DELETE /api/v1/session", Anybody, "Sign off", func(ctx context.Context, _ *none) (*answered, error) { return s.leave(ctx, "button") })
	add(s, api, "POST /api/v1/setup", Anybody, "Make the first user, an admin", s.setUp)
	add(s, api, "GET /api/v1/users", SeeUsers, "Who may sign in", func(context.Context, *none) (*usersOutput, error) {
		out := &usersOutput{}
		out.Body.Users = s.o.People.All()
		return out, nil
	})
	add(s, api, "POST /api/v1/users", ChangeUsers, "Add a user", func(ctx context.Context, in *userInput) (*userOutput, error) {
		b := in.Body
		return userAnswer(b.ID, "user-added", "may sign in now")(s.o.People.Add(ctx, visitorOf(ctx).Who, Person{ID: b.ID, Name: b.Name, Role: b.Role}, b.PIN, b.Badge))
	})
	add(s, api, "PATCH /api/v1/users/{id}", ChangeUsers, "Change a user", func(ctx context.Context, in *userChangeInput) (*userOutput, error) {
		return userAnswer(in.ID, "user-changed", "was changed")(s.o.People.Change(ctx, visitorOf(ctx).Who, in.ID, in.Body))
	})
	add(s, api, "DELETE /api/v1/users/{id}", ChangeUsers, "Remove a user", func(ctx context.Context, in *userPath) (*userOutput, error) {
		return userAnswer(in.ID, "user-removed", "may sign in no more")("", s.o.People.Remove(ctx, visitorOf(ctx).Who, in.ID))
	})
}

func userAnswer(id, word, text string) func(code string, err error) (*userOutput, error) {
	return func(code string, err error) (*userOutput, error) {
		if err != nil {
			return nil, err
		}
		out := &userOutput{}
		out.Body.Answer, out.Body.Code = accepted(word, id+" "+text, "", "id", id), code
		if code != "" {
			out.Body.Bars, err = barcode(code, badgeWidth)
		}
		return out, err
	}
}

// mayTry counts an attempt to sign in, or refuses it. What nobody guesses is not counted for all addresses together: strangers would keep everybody out.
func (s *Server) mayTry(v visitor, guessable bool) *Problem {
	wait := s.signIns.take(v.address)
	if wait == 0 && guessable {
		wait = s.allIns.take("")
	}
	if wait > 0 && !v.local {
		return tooMany(wait)
	}
	return nil
}

// reload answers that the page is somebody else's now, and gives it their session.
func (s *Server) reload(token, word, text string, who Person) *answered {
	out := &answered{Cookie: s.cookie(cookieSession, token)}
	out.Body.Answer, out.Body.Reload = accepted(word, text, "", "id", who.ID, "name", who.Name), true
	return out
}

func (s *Server) enterBadge(ctx context.Context, code string) (*answered, error) {
	return s.enter(ctx, "badge", !isMade(code), func() (string, Person, error) { return s.o.People.SignInBadge(ctx, code) })
}

// enter signs somebody in on the page that asks, and whoever was signed in there off. how stands in the ledger for both.
func (s *Server) enter(ctx context.Context, how string, guessable bool, signIn func() (token string, who Person, err error)) (*answered, error) {
	v := visitorOf(ctx)
	p := s.mayTry(v, guessable)
	if p == nil && s.o.People.None() {
		p = setUpFirst()
	}
	var token string
	var who Person
	if p == nil {
		var err error
		if token, who, err = signIn(); err != nil {
			p = s.problemOf(err)
		}
	}
	if p != nil {
		s.note("sign-in", Anybody, v, p)
		return nil, p
	}
	if v.Person != nil {
		if err := s.o.People.SignOut(ctx, v.session, how); err != nil {
			s.o.Log.Error("the session before was not ended", "error", err)
		}
	}
	return s.reload(token, "signed-in", who.ID+" is signed in", who), nil
}

// leave signs off who is signed in on the page that asks.
func (s *Server) leave(ctx context.Context, how string) (*answered, error) {
	v := visitorOf(ctx)
	if v.Person == nil {
		p := signInFirst()
		s.note("sign-off", Anybody, v, p)
		return nil, p
	}
	if err := s.o.People.SignOut(ctx, v.session, how); err != nil {
		return nil, err
	}
	return s.reload("", "signed-off", v.Person.ID+" is signed off", *v.Person), nil
}

// setUp makes the first user, and signs them in.
func (s *Server) setUp(ctx context.Context, in *setUpInput) (*answered, error) {
	s.settingUp.Lock()
	defer s.settingUp.Unlock()
	v := visitorOf(ctx)
	p := s.mayTry(v, true)
	switch {
	case p != nil:
	case !s.o.People.None():
		p = problem(http.StatusConflict, "set-up-done", "there are users already", "Sign in, or ask an admin.")
	case !s.o.Open && (s.o.SetUp == "" || subtle.ConstantTimeCompare([]byte(strings.ToUpper(strings.TrimSpace(in.Body.Code))), []byte(s.o.SetUp)) == 0):
		p = problem(http.StatusForbidden, "set-up-code", "that is not the code", "It stands where the station was started.")
	}
	if p != nil {
		s.note("set-up", Anybody, v, p)
		return nil, p
	}
	if _, err := s.o.People.Add(ctx, Who{ID: "setup"}, Person{ID: in.Body.ID, Name: in.Body.Name, Role: Admin}, in.Body.PIN, ""); err != nil {
		return nil, err
	}
	token, who, err := s.o.People.SignInPIN(ctx, in.Body.ID, in.Body.PIN)
	if err != nil {
		return nil, err
	}
	return s.reload(token, "signed-in", who.ID+" is signed in", who), nil
}
