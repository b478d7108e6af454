import json, io, pytest
from tests.world import *
from bench.model import ModelServer
@pytest.fixture
def settings(model): return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey"}
def test_it(world, app):
    vera=world.vera; vera.ask("say hi"); page=vera.page()
    tok=hidden(page,"csrf_token"); sid=hidden(page,"session_id")
    http=vera.http; out=[]
    def go(label, *a, **k):
        try:
            r=http.open(*a, **k); out.append((label, r.status_code, r.mimetype, r.headers.get("Location")))
            if r.status_code>=500: out.append(("   5XX", r.get_data(as_text=True)[:200]))
        except Exception as e: out.append((label, "EXC", type(e).__name__, str(e)[:150]))
    B="/chat/harbour-bakery"
    for l,body in {"list":"[1]","str":'"x"',"num":"5","null":"null","dict":json.dumps({"message":5,"csrf_token":tok}),"dict2":json.dumps({"message":{"a":1},"csrf_token":tok}), "tok5":json.dumps({"message":"x","csrf_token":5}),"bad":"{", "nested":"["*100000}.items():
        go("json form "+l, B, method="POST", data=body, content_type="application/json")
    go("file message", B, method="POST", data={"csrf_token":tok,"message":(io.BytesIO(b"x"),"x.txt")}, content_type="multipart/form-data")
    go("file token", B, method="POST", data={"csrf_token":(io.BytesIO(b"x"),"x.txt"),"message":"x"}, content_type="multipart/form-data")
    go("file name", B, method="POST", data={"csrf_token":tok,"message":"x", "name":(io.BytesIO(b"x"),"x.txt")}, content_type="multipart/form-data")
    go("file session", B, method="POST", data={"csrf_token":tok,"message":"x", "session_id":(io.BytesIO(b"x"),"x.txt")}, content_type="multipart/form-data")
    go("file choice", B+"/new", method="POST", data={"csrf_token":tok,"choice":"load", "session_id":(io.BytesIO(b"x"),"x.txt")}, content_type="multipart/form-data")
    go("bad multipart", B, method="POST", data=b"--x\r\n", content_type="multipart/form-data; boundary=x")
    go("text/plain", B, method="POST", data=b"csrf_token="+tok.encode()+b"&message=x", content_type="text/plain")
    for t in ["", "x", "x"*100000, "\0", "\ud800".encode("utf-8","surrogatepass").decode("latin1"), "é", tok[:-1], tok+"x", tok.replace(".","")]:
        go("token %r"%t[:20], B, method="POST", data={"csrf_token":t,"message":"x"})
    for q in ["before=999999999999999999999999999999","before=-1","before=x","before=%00","before=9223372036854775807","before=9223372036854775808","page=999999999999999999999999","page=-5","page=x", "q=%00","q=%ff","q="+"x"*5000,"session=%00","session=%ff%fe","session="+"x"*10000, "session=", "before=0", "q=%25_\\"]:
        go("page "+q[:40], f"{B}?session={sid}&{q}" if "session" not in q else f"{B}?{q}")
        go("older "+q[:40], f"{B}/older?session={sid}&{q}"if "session" not in q else f"{B}/older?{q}")
        go("new "+q[:40], f"{B}/new?{q}")
    for p in ["/chat/%00","/chat/%ff","/chat/%c0%af","/chat/%ed%a0%80","/chat/..%2f..%2fetc","/chat/harbour-bakery%00","/%00","/%ff%fe","/chat/"+"x"*10000,"/chat/harbour-bakery/messages/%ff","/chat/harbour-bakery/turns/%00/events","/api/chat/turns/%ff/events?client=harbour-bakery","/api/chat/turns/x/events?client=%00","/api/chat/turns/x/events","/static/%00","/static/../wsgi.py","/static/%2e%2e/wsgi.py","/static/css","/chat//harbour-bakery","//evil.com","//evil.com/chat/harbour-bakery","/chat/harbour-bakery/","/chat/harbour-bakery//new","/api//chat","/CHAT/harbour-bakery", "/healthz/", "/\\evil.com", "/%2f%2fevil.com"]:
        go("path "+p[:60], p, headers={"Host":"evil.example"})
    for m in ["PUT","DELETE","PATCH","TRACE","CONNECT","FOO","PROPFIND","OPTIONS","HEAD"]:
        for p in ["/",B,B+"/new","/api/chat","/healthz","/readyz","/static/css/base.css","/api/client/knowledge"]:
            go(f"{m} {p}", p, method=m)
    H={"Content-Type":"application/json"}
    for l,b in {"deep":'{"message":'+"["*100000+"]"*100000+"}","deep2":"["*100000,"nul":'{"message":"a\\u0000b","client":"harbour-bakery"}',"nuluser":'{"message":"x","user_id":"\\u0000","client":"harbour-bakery"}',"nulclient":'{"message":"x","client":"\\u0000"}',"sur":'{"message":"\\ud800","client":"harbour-bakery"}',"suruser":'{"message":"x","user_id":"\\udfff","client":"harbour-bakery"}',"surclient":'{"message":"x","client":"\\ud800"}',"surkey":'{"\\ud800":"x"}',"1e400":'{"message":1e400}',"nan":'{"message":NaN}',"inf":'{"message":"x","stream":Infinity}',"dup":'{"message":"x","message":"y","client":"harbour-bakery"}',"bom":'\ufeff{"message":"x"}',"empty":"","latin":b'{"message":"\xff"}',"utf16":'{"message":"x"}'.encode("utf-16"),"bigint":'{"message":'+"9"*5000+"}","bigint2":'{"stream":'+"9"*100000+"}", "array":"[]","null":"null","true":"true","extra":'{"message":"x","tenant_id":"x"}',"bool":'{"message":"x","stream":"yes","client":"harbour-bakery"}', "longuser":json.dumps({"message":"x","user_id":"u"*300,"client":"harbour-bakery"}),"manykeys":json.dumps({f"k{i}":1 for i in range(20000)})}.items():
        go("api "+l, "/api/chat", method="POST", data=b if isinstance(b,bytes) else b.encode(), headers=H)
    for ct in ["text/plain","application/x-www-form-urlencoded","multipart/form-data","","application/json; charset=utf-16","application/jsonx","text/json","application/vnd.api+json", "application/json;"]:
        go("ct "+ct, "/api/chat", method="POST", data=b'{"message":"x","client":"harbour-bakery"}', content_type=ct)
    for a in ["Bearer","Bearer ","Basic x","Bearer shm_x_y","Bearer shm_"+"0"*26+"_x","bearer \xff","Bearer "+"x"*20000,"Bearer shm__","Bearer shm_%s_%s"%("é"*26,"x"), "Bearer shm_' OR 1=1 --_x", ""]:
        go("auth "+a[:30], "/api/client/knowledge", headers={"Authorization":a})
        go("auth chat "+a[:30], "/api/chat", method="POST", json={"message":"x"}, headers={"Authorization":a})
    for k in ["","x"*400,"a b","\xff","%00","'"]:
        go("idem "+k[:20], "/api/chat", method="POST", json={"message":"say x","client":"harbour-bakery"}, headers={"Idempotency-Key":k})
    for v in ["x","-1","1.1.1","9"*100,"٣","1e9","%00","5.999999999999","\xff"]:
        go("lastid "+v[:20], B+"/turns/x/events", headers={"Last-Event-ID":v})
    go("16k header", B, headers={"X-Long":"x"*16000, "Cookie":"shaman_visitor="+"x"*16000})
    go("accept", B, headers={"Accept":"*/*;q=x, ;;;,"})
    go("accept2", B, headers={"Accept":"\xff", "Accept-Language":"\xff;q=9"})
    go("range", B, headers={"Range":"bytes=0-10"})
    go("knowledge cursor", "/api/client/knowledge?cursor=%00&limit=x", headers=world.key())
    go("knowledge cursor", "/api/client/knowledge?limit=99999999999999999999999", headers=world.key())
    go("search", "/api/client/search?q=%00&limit=-1", headers=world.key())
    go("search", "/api/client/search?q=%00x", headers=world.key())
    go("search", "/api/client/search?q=%ed%a0%80", headers=world.key())
    go("search", "/api/client/search?q=%27%22)(*:OR%20AND", headers=world.key())
    go("src", "/api/client/knowledge/%00", headers=world.key())
    go("src", "/api/client/knowledge/%00", method="DELETE", headers=world.key())
    go("name", B, method="POST", data={"csrf_token":tok,"message":"x","name":"\0"})
    go("session nul", B, method="POST", data={"csrf_token":tok,"message":"x","session_id":"\0"})
    go("msg sur", B, method="POST", data={"csrf_token":tok,"message":b"\xed\xa0\x80"})
    go("msg nul", B, method="POST", data={"csrf_token":tok,"message":"\0"})
    go("choice nul", B+"/new", method="POST", data={"csrf_token":tok,"choice":"load","session_id":"\0"})
    for o in out: print(o)
    bad=[o for o in out if o[1]=="EXC" or (isinstance(o[1],int) and o[1]>=500)]
    print("BAD"); [print(b) for b in bad]
