"""Which DICOM fields name a person, a place, a device or a moment.

They are those of the profile of DICOM PS3.15, table E.1-1, that do so directly: all fields of some
kinds (value representations), and the fields listed here.
"""

from __future__ import annotations

KINDS = frozenset({"AE", "DA", "DT", "PN", "TM", "UI"})

# fmt: off
SAME_EVERYWHERE = frozenset({  # UIDs that the standard itself, or a library, defines
    "CodingSchemeUID", "ContextGroupExtensionCreatorUID", "ContextUID",
    "ImplementationClassUID", "MappingResourceUID", "MediaStorageSOPClassUID",
    "OriginalSpecializedSOPClassUID", "ReferencedRelatedGeneralSOPClassUIDInFile",
    "ReferencedSOPClassUID", "ReferencedSOPClassUIDInFile", "ReferencedTransferSyntaxUIDInFile",
    "RelatedGeneralSOPClassUID", "SOPClassUID", "SOPClassesInStudy", "TransferSyntaxUID",
})

FIELDS = frozenset({
    "AccessionNumber", "AcquisitionComments", "AdditionalPatientHistory", "AdmissionID",
    "BarcodeValue", "BranchOfService", "CameraOwnerName", "CassetteID",
    "ClinicalTrialCoordinatingCenterName", "ClinicalTrialProtocolEthicsCommitteeName",
    "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSponsorName",
    "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID",
    "CommentsOnThePerformedProcedureStep", "ContainerIdentifier", "CountryOfResidence",
    "CurrentPatientLocation", "DetectorID", "DeviceSerialNumber", "DistributionAddress",
    "FillerOrderNumberImagingServiceRequest", "FrameComments", "GantryID", "GeneratorID",
    "HumanPerformerOrganization", "IdentifyingComments", "ImageComments",
    "ImagingServiceRequestComments", "InstitutionAddress", "InstitutionName",
    "InstitutionalDepartmentName", "InsurancePlanIdentification", "InterpretationID",
    "InterpretationText", "IssuerOfAdmissionID", "IssuerOfPatientID",
    "IssuerOfServiceEpisodeID", "LabelText", "LensSerialNumber", "MedicalRecordLocator",
    "MilitaryRank", "NetworkID", "OrderCallbackPhoneNumber", "OrderCallbackTelecomInformation",
    "OrderEntererLocation", "OtherPatientIDs", "PatientAddress", "PatientComments", "PatientID",
    "PatientInstitutionResidence", "PatientTelecomInformation", "PatientTelephoneNumbers",
    "PerformedLocation", "PerformedProcedureStepID", "PerformedStationName", "PersonAddress",
    "PersonTelecomInformation", "PersonTelephoneNumbers",
    "PlacerOrderNumberImagingServiceRequest", "PlateID", "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers", "RegionOfResidence", "RequestedProcedureComments",
    "RequestedProcedureID", "RequestedProcedureLocation", "RequestingService",
    "ResponsibleOrganization", "ResultsComments", "ResultsID",
    "ScheduledPatientInstitutionResidence", "ScheduledProcedureStepID",
    "ScheduledProcedureStepLocation", "ScheduledStationName", "ScheduledStudyLocation",
    "ServiceEpisodeID", "SlideIdentifier", "SourceSerialNumber", "SpecimenAccessionNumber",
    "SpecimenIdentifier", "StationName", "StudyComments", "StudyID", "StudyIDIssuer",
    "TextComments", "TextString", "TimezoneOffsetFromUTC", "TreatmentMachineName",
    "UniqueDeviceIdentifier", "VerifyingOrganization", "VisitComments",
})
# fmt: on
