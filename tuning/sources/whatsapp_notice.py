"""What stands in a WhatsApp export and nobody typed: notices, and what stands in for media and deleted messages.

An iPhone puts U+200E before whatever it wrote itself, in every language; Android says it in words. Knows one message at
a time.
"""

from __future__ import annotations

import re

from tuning.sources.whatsapp_start import MARKS

OWN = "\u200e"
"""Stands before what WhatsApp wrote; Android has it only before the names of files."""

_QUOTES = (("“", "”"), ("„", "“”"), ("«", "»"), ("「", "」"))
_FILE = re.compile(r"[^\n]{1,200} \([^()\n]{4,40}\)(?:\n|$)")
_DOCUMENT = re.compile(rf"[^\n]{{1,200}}\.\w{{1,5}} • {OWN}")
_TRAILING = re.compile(
    rf"\s*(?:{OWN}<[^<>]{{4,200}}>"
    r"|<(?:This message was edited|Diese Nachricht wurde bearbeitet|Se editó este mensaje|Ce message a été modifié"
    r"|Questo messaggio è stato modificato|Mensagem editada|Dit bericht is bewerkt|Сообщение изменено)[.]?>)\s*$"
)
_MARKS = re.compile(f"[{MARKS}]")

_MEDIA = re.compile(
    r"<[^<>\n]{4,60}>(?:\n|$)"  # <Media omitted>, <Medien ausgeschlossen>, <Multimedia omitido> …
    r"|[^\n]{1,120} \((?:file attached|archivo adjunto|Datei angehängt|fichier joint|file allegato|arquivo anexado|"
    r"файл добавлен|bestand bijgevoegd)\)(?:\n|$)"
    r"|<(?:attached|anexado|adjunto|Anhang|pièce jointe|allegato|прикреплено): [^\n]{1,200}>(?:\n|$)",
    re.IGNORECASE,
)
_NOTICE = re.compile(
    r"(?:image|video|audio|gif|sticker|document|contact card|video note) omitted"
    r"|(?:bild|video|audio|gif|sticker|dokument|kontaktkarte|videonachricht) weggelassen"
    r"|(?:imagen|video|audio|gif|sticker|documento|tarjeta de contacto) omitid[oa]"
    r"|(?:imagem|áudio|vídeo|gif|figurinha|documento|cartão de contato) (?:ocultad|omitid)[oa]"
    r"|(?:image|vidéo|audio|gif|sticker|document) (?:absente?|omise?|retiré|manquant)"
    r"|(?:immagine|video|audio|gif|sticker|documento) (?:omess[oa]|non incluso|esclus[oa])"
    r"|(?:afbeelding|video|audio|gif|sticker|document) weggelaten"
    r"|null"
    r"|(?:this message was deleted|you deleted this message|diese nachricht wurde gelöscht"
    r"|du hast diese nachricht gelöscht"
    r"|se eliminó este mensaje|eliminaste este mensaje|ce message a été supprimé|vous avez supprimé ce message"
    r"|questo messaggio è stato eliminato|esta mensagem foi apagada|mensagem apagada|данное сообщение удалено"
    r"|вы удалили данное сообщение|dit bericht is verwijderd|waiting for this message.*)[. ]*"
    r"|(?:missed (?:group )?(?:voice|video) call|verpasster (?:sprach|video)anruf|(?:video)?llamada (?:de voz )?perdida"
    r"|appel (?:vocal|vidéo) manqué|chiamata (?:vocale|video) persa|chamada de (?:voz|vídeo) perdida"
    r"|gemiste (?:spraak|video)oproep|пропущенный (?:аудио|видео)звонок)(?:[ ,.].*)?"
    r"|(?:live )?location(?: shared|: https?://\S+)",
    re.IGNORECASE,
)
_NOTICE_BEGINS = re.compile(
    r"POLL:\n|Messages (?:and calls are|to this (?:chat|group) (?:and calls )?are now) "
    r"(?:secured with )?end-to-end encrypt"
    r"|Nachrichten und Anrufe sind Ende-zu-Ende-verschlüsselt|Los mensajes y las llamadas están cifrados"
    r"|Les messages et les appels sont chiffrés|I messaggi e le chiamate sono crittografat"
    r"|As mensagens e as? (?:ligações|chamadas) são protegidas|Berichten en oproepen worden end-to-end"
    r"|Сообщения и звонки защищены",
    re.IGNORECASE,
)


def is_name(author: str) -> bool:
    """Whether what stands before a colon can be somebody's name, and is not the beginning of a notice: one that quotes
    a title with a colon in it breaks off within the quotation."""
    open_ones = [opening for opening, closing in _QUOTES if opening in author and not set(closing) & set(author)]
    return author.count('"') % 2 == 0 and (not open_ones or (open_ones == ["“"] and "„" in author))


def typed(said: str, *, iphone: bool) -> str:
    """What the person typed of what stands under their name: all of it, the caption of a file, or nothing."""
    said = said.strip(" \n")
    if iphone and (said.startswith(OWN) or _DOCUMENT.match(said)):
        return ""
    file = _FILE.match(said) if said.startswith(OWN) else None
    said = (said[file.end() :] if file else _TRAILING.sub("", said)).strip(f"{OWN} \n")
    media = _MEDIA.match(said)
    said = said[media.end() :].strip(" \n") if media else said
    plain = _MARKS.sub("", said).strip()
    return "" if not plain or _NOTICE.fullmatch(plain) or _NOTICE_BEGINS.match(plain) else said
